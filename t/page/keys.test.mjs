// One key on the page: looked up, reset, given another rate.

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';

import { eventually, exact, fact, lookUp, shows, withPage } from './browser.mjs';
import { MockApi, WHOLE_KEY, example, known } from './mock_api.mjs';

test('looks up a key, and goes on to show how it does', async () => {
    const api = new MockApi(example(), known());
    await withPage(api, {}, async page => {
        await lookUp(page, WHOLE_KEY);
        await shows(page.locator('#found-left'), '12');
        await shows(page.locator('#found-of'), 'of 60 requests left');
        await shows(fact(page.locator('#found'), 'Used'), '48');
        await shows(fact(page.locator('#found'), 'Whole again in'), '1 min 34 s');
        Object.assign(api.keys[`user ${WHOLE_KEY}`], { remaining: 11, used: 49 });
        await shows(page.locator('#found-left'), '11');
        await lookUp(page, 'key:unknown');
        await shows(page.locator('#found-none'), 'Nothing is counted for this key in user');
        assert.ok(!(await page.locator('#found-some').isVisible()));
    });
});

test('shows what is used and held of tokens', async () => {
    const key = { policy: 'tokens', key: 'ip:192.0.2.1', measure: 'tokens', limit: 100000, remaining: 0, reset: 3700, used: 120000, reserved: 512,
        learned: { output: 1234, input_ratio: 1.25 } };
    await withPage(new MockApi(example(), { 'tokens ip:192.0.2.1': key }), {}, async page => {
        await page.selectOption('#find-policy', 'tokens');
        await lookUp(page, '192.0.2.1');
        await shows(page.locator('#found-of'), 'of 100\u202fk tokens left');
        assert.equal(await exact(fact(page.locator('#found'), 'Used')), 120000);
        assert.equal(await exact(fact(page.locator('#found'), 'Reserved')), 512);
        assert.equal(await exact(fact(page.locator('#found'), 'Usual output')), 1234);
    });
});

test('shows money in dollars, and takes another rate in them', async () => {
    const key = { policy: 'spend', key: 'ip:192.0.2.1', measure: 'money', limit: 20, remaining: 15.126785, reset: 3700, used: 4.873215, reserved: 0.0412 };
    const api = new MockApi(example(), { 'spend ip:192.0.2.1': key });
    await withPage(api, {}, async page => {
        await page.selectOption('#find-policy', 'spend');
        await lookUp(page, '192.0.2.1');
        await shows(page.locator('#found-left'), '$15.13');
        await shows(page.locator('#found-of'), 'of $20 left');
        assert.equal(await exact(fact(page.locator('#found'), 'Used')), 4.873215);
        await page.getByText('Another rate for a while').click();
        await page.fill('#rate', '50usd/d');
        await page.fill('#ttl', '1h');
        await page.locator('#other-rate button').click();
        await shows(fact(page.locator('#found'), 'Other rate'), '50usd/d');
        assert.ok(api.asked('PUT')[0].includes('rate=50usd%2Fd&ttl=3600'), api.asked('PUT')[0]);
    });
});

test('hashes an API key itself, so that it does not leave the browser', async () => {
    const secrets = ['sk-proj-1234567890', 'p\u00e4sswort \ud83d\ude00', 'x'.repeat(55), 'y'.repeat(64), 'z'.repeat(1000)];
    const api = new MockApi();
    await withPage(api, {}, async page => {
        for (const secret of secrets) {
            const hash = `key:${createHash('sha256').update(secret).digest('hex').slice(0, 32)}`;
            await lookUp(page, secret);
            await shows(page.locator('#found-name'), hash);
            assert.equal(await page.inputValue('#find-key'), hash);
            // The name is there before the question is.
            const question = `GET keys?policy=user&key=${encodeURIComponent(hash)}`;
            await eventually(page, () => api.asked('GET').at(-1) === question, question);
            assert.ok(!api.asked('GET').some(one => one.includes(encodeURIComponent(secret))));
        }
        // A key of another kind is nothing to hash.
        await page.selectOption('#find-policy', 'addr');
        await lookUp(page, '203.0.113.9');
        await shows(page.locator('#found-name'), '203.0.113.9');
    });
});

test('resets a key after asking, and shows its new numbers', async () => {
    const api = new MockApi(example(), known());
    await withPage(api, {}, async page => {
        const row = page.locator('[data-policy=user] .top li', { hasText: WHOLE_KEY });
        await row.getByText(WHOLE_KEY).click();
        await shows(page.locator('#found-left'), '12');
        await row.getByText('Reset').click();
        await row.getByText('No').click();
        await row.getByText('Reset').click();
        await page.keyboard.press('Escape');
        assert.deepEqual(api.asked('DELETE'), []);
        await row.getByText('Reset').click();
        await row.getByText('Yes, reset').click();
        await shows(page.locator('#found-none'), 'Nothing is counted for this key');
        assert.deepEqual(api.asked('DELETE'), [`DELETE keys?policy=user&key=${encodeURIComponent(WHOLE_KEY)}`]);
        await shows(page.locator('#toast'), 'starts anew in user');
        Object.assign(api.keys, known());
        Object.assign(api.keys[`user ${WHOLE_KEY}`], { remaining: 59, used: 1 });
        await shows(page.locator('#found-left'), '59');
        // The same beside what was looked up.
        await page.locator('#found-acts').getByText('Reset').click();
        await page.locator('#found-acts').getByText('Yes, reset').click();
        await shows(page.locator('#found-none'), 'Nothing is counted for this key');
        assert.equal(await row.getByText('Reset').count(), 1);
        assert.equal(await page.locator('.top li', { hasText: 'sk-1' }).getByText('Reset').count(), 0);
    });
});

test('gives a key another rate for a while, and says why where nginx does not', async () => {
    const api = new MockApi(example(), known());
    await withPage(api, {}, async page => {
        await lookUp(page, WHOLE_KEY);
        await page.click('#other-rate summary');
        await page.fill('#rate', 'much');
        await page.fill('#ttl', '90m');
        await page.press('#rate', 'Enter');
        await shows(page.locator('#toast'), 'invalid rate');
        await page.fill('#rate', '600r/m');
        await page.press('#rate', 'Enter');
        await shows(fact(page.locator('#found'), 'Other rate'), '600r/m, for another 1 h 30 min');
        const key = encodeURIComponent(WHOLE_KEY);
        assert.equal(api.asked('PUT').at(-1), `PUT keys?policy=user&key=${key}&rate=600r%2Fm&ttl=5400`);
    });
});

test('offers nothing that writes where nginx does not allow it', async () => {
    await withPage(new MockApi({ ...example(), write: false }, known()), {}, async page => {
        await lookUp(page, WHOLE_KEY);
        await shows(page.locator('#found-left'), '12');
        assert.equal(await page.getByText('Reset', { exact: true }).filter({ visible: true }).count(), 0);
        assert.ok(!(await page.locator('#other-rate').isVisible()));
        assert.ok(await page.locator('#read-only').isVisible());
    });
});

test('offers no reset of what is in flight', async () => {
    const key = { policy: 'slots', key: WHOLE_KEY, measure: 'in_flight', limit: 4, remaining: 1, reset: 0, used: 3 };
    await withPage(new MockApi(example(), { [`slots ${WHOLE_KEY}`]: key }), {}, async page => {
        await page.locator('[data-policy=slots] .top').getByText(WHOLE_KEY).click();
        await shows(page.locator('#found-of'), 'of 4 in flight left');
        assert.equal(await page.locator('[data-policy=slots], #found').getByText('Reset').filter({ visible: true }).count(), 0);
        assert.equal(await page.locator('[data-policy=user]').getByText('Reset').count(), 4);
    });
});

test('resets a key of nginx', async () => {
    await withPage(null, {}, async page => {
        const row = page.locator('[data-policy=addr] .top li', { hasText: '192.0.2.1' });
        await row.getByText('192.0.2.1').click();
        await shows(page.locator('#found-left'), '0');
        await row.getByText('Reset').click();
        await row.getByText('Yes, reset').click();
        await shows(page.locator('#found-none'), 'Nothing is counted for this key');
    });
});
