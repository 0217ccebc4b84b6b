// The page stays up to date, and says so where it is not.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { eventually, exact, shows, stat, withPage } from './browser.mjs';
import { MockApi } from './mock_api.mjs';

test('follows the numbers and leaves alone what is being typed, focused and opened', async () => {
    const api = new MockApi();
    await withPage(api, {}, async page => {
        await page.click('[data-policy=user] [data-tab=refusals]');
        await page.fill('#find-key', 'half a k');
        await page.evaluate(() => document.getElementById('find-key').setSelectionRange(2, 4));
        const card = await page.locator('[data-policy=user]').elementHandle();
        Object.assign(api.status.policies[0].requests, { passed: 7, rejected: 8 });
        api.status.policies.reverse();
        await shows(stat(page, 'user', 'Passed'), '7');
        await shows(stat(page, 'user', 'Refused'), '8');
        const state = await page.evaluate(() => {
            const input = document.activeElement;
            return [input.id, input.value, input.selectionStart, input.selectionEnd];
        });
        assert.deepEqual(state, ['find-key', 'half a k', 2, 4]);
        assert.equal(await page.getAttribute('[data-policy=user] [data-tab=refusals]', 'aria-selected'), 'true');
        assert.ok(await card.evaluate(node => node.isConnected), 'the same card');
        assert.deepEqual(await page.locator('article h2').allTextContents(), ['addr', 'pool', 'gpu', 'slots', 'spend', 'tokens', 'user']);
        api.status.policies.pop();
        await eventually(page, async () => (await page.locator('article').count()) === 6, 'a policy to go');
    });
});

test('keeps the focus on what changes its place', async () => {
    const api = new MockApi();
    await withPage(api, {}, async page => {
        await page.focus('[data-policy=addr] [data-tab=requests]');
        api.status.policies.reverse();
        await eventually(page, async () => (await page.locator('article h2').first().textContent()) === 'addr', 'another order');
        assert.ok(await page.evaluate(() => document.activeElement.matches('[data-policy=addr] [data-tab=requests]')));
    });
});

test('does not move keys about under a pointer', async () => {
    const api = new MockApi();
    const keys = api.status.policies[0].top_keys;
    await withPage(api, {}, async page => {
        const shown = page.locator('[data-policy=user] .top .key');
        const before = await shown.allTextContents();
        await shown.first().hover();
        keys.requests = [{ key: 'ip:192.0.2.1', count: 9999, whole: true }, { ...keys.requests[0], count: 4321 }];
        await shows(page.locator('[data-policy=user] .top .count').first(), '4,321');
        assert.deepEqual(await shown.allTextContents(), before);
        await page.mouse.move(0, 0);
        await shows(shown.first(), 'ip:192.0.2.1');
        assert.equal(await shown.count(), 2);
    });
});

for (const [failure, reason] of [['down', 'no connection'], [502, 'nginx answered 502']]) {
    test(`says that its numbers are old (${failure}), and recovers`, async () => {
        const api = new MockApi();
        await withPage(api, {}, async page => {
            api.failure = failure;
            const banner = page.locator('#stale');
            await eventually(page, () => banner.isVisible(), 'the banner');
            await shows(banner, reason);
            await shows(banner, 'from 22:45:00');
            assert.match(await page.title(), /stale/);
            assert.equal(await exact(stat(page, 'user', 'Passed')), 1234567);
            api.failure = null;
            api.status.policies[0].requests.passed = 5;
            await eventually(page, () => banner.isHidden(), 'the banner to go');
            assert.equal(await exact(stat(page, 'user', 'Passed')), 5);
            assert.doesNotMatch(await page.title(), /stale/);
        });
    });
}

test('says so where nginx does not answer from the beginning', async () => {
    const api = new MockApi();
    api.failure = 403;
    await withPage(api, {}, async page => {
        await shows(page.locator('#stale'), 'nginx answered 403');
        api.failure = null;
        await eventually(page, () => page.locator('[data-policy=user]').isVisible(), 'a policy');
    });
});

test('asks nothing while nobody sees it, and at once when somebody does', async () => {
    const before = () => {
        Object.defineProperty(document, 'hidden', { get: () => window.unseen === true });
        window.see = seen => {
            window.unseen = !seen;
            document.dispatchEvent(new Event('visibilitychange'));
        };
    };
    const api = new MockApi();
    await withPage(api, { before }, async page => {
        await page.evaluate(() => window.see(false));
        const asked = api.requests.length;
        await page.clock.runFor(60_000);
        assert.equal(api.requests.length, asked);
        api.status.policies[0].requests.passed = 6;
        await page.evaluate(() => window.see(true));
        await page.waitForSelector('[data-policy=user] [data-stat=Passed] b[title="6"]');
        assert.equal(await page.getAttribute('html', 'data-state'), 'live');
    });
});
