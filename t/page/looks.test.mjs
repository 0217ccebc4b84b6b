// The page is for every screen, eye and hand.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { lookUp, withPage } from './browser.mjs';
import { MockApi, WHOLE_KEY, example, known } from './mock_api.mjs';

test('fits a narrow phone, also with long names', async () => {
    const status = example();
    const long = 'x'.repeat(200);
    Object.assign(status.policies[0], { name: long, key: `$${long}`, limit: `$${long}` });
    Object.assign(status.policies[1].tokens, { input: 999_999_999_999, reserved: 123_456_789_012 });
    status.policies[0].top_keys.requests[0].key = long;
    status.overrides[0] = { policy: long, key: long, rate: long, expires_in: 1e8 };
    status.zones[0].name = long;
    for (const given of [example(), status]) {
        const phone = { viewport: { width: 360, height: 740 }, isMobile: true, hasTouch: true };
        const api = new MockApi(given, known());
        await withPage(api, phone, async page => {
            await page.tap('#jump');
            await lookUp(page, WHOLE_KEY);
            await page.waitForSelector('#found:not([hidden])');
            await page.locator('.top li button.tiny').first().tap();
            assert.equal(await page.evaluate(() => document.documentElement.scrollWidth), 360);
        });
    }
});

/** WCAG's contrast of the text of `selector` with the card that it is on. */
function contrast(page, selector) {
    return page.locator(selector).first().evaluate(node => {
        const light = color => color.match(/[\d.]+/g).slice(0, 3).map(n => n / 255)
            .map(n => (n <= 0.04045 ? n / 12.92 : ((n + 0.055) / 1.055) ** 2.4))
            .reduce((all, n, i) => all + n * [0.2126, 0.7152, 0.0722][i], 0);
        const [a, b] = [light(getComputedStyle(node).color), light(getComputedStyle(node.closest('.card')).backgroundColor)];
        return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    });
}

const background = page => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
const LIGHT = 'rgb(244, 246, 248)';
const DARK = 'rgb(14, 18, 23)';

test('is light or dark as its user likes it, and readable in both', async () => {
    for (const [colorScheme, color] of [['light', LIGHT], ['dark', DARK]]) {
        await withPage(new MockApi(), { colorScheme }, async page => {
            assert.equal(await background(page), color);
            for (const selector of ['h2', '.about', '.stats dt', '.badge.warn', '.badge.bad', '.top .key', '.top .tiny']) {
                assert.ok((await contrast(page, selector)) >= 4.5, `${selector}, ${colorScheme}`);
            }
        });
    }
});

test('has a switch between light and dark, and remembers it', async () => {
    await withPage(new MockApi(), { colorScheme: 'light' }, async page => {
        await page.click('#theme');
        await page.click('#theme');
        assert.equal(await background(page), DARK);
        await page.reload();
        await page.waitForSelector('[data-state=live]');
        assert.equal(await background(page), DARK);
        await page.click('#theme');
        assert.equal(await background(page), LIGHT);
    });
});

test('moves nothing where that is not wanted', async () => {
    const moves = page => page.evaluate(() => document.getAnimations().length
        + [...document.querySelectorAll('*')].filter(node => getComputedStyle(node).transitionDuration !== '0s').length);
    await withPage(new MockApi(), { reducedMotion: 'reduce' }, async page => assert.equal(await moves(page), 0));
    await withPage(new MockApi(), {}, async page => assert.ok((await moves(page)) > 0));
});

test('changes tabs by arrow keys', async () => {
    await withPage(new MockApi(), {}, async page => {
        await page.focus('[data-policy=user] [data-tab=requests]');
        await page.keyboard.press('ArrowRight');
        assert.equal(await page.evaluate(() => document.activeElement.dataset.tab), 'refusals');
        assert.deepEqual(await page.locator('[data-policy=user] .top .key').allTextContents(), [WHOLE_KEY, 'ip:203.0.113.9']);
    });
});
