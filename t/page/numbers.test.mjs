// Tests that the page shows, as text, the numbers that nginx reports.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { BASE, eventually, exact, fact, shows, stat, withPage } from './browser.mjs';
import { MockApi, WHOLE_KEY, example } from './mock_api.mjs';

/** Every number of `status` stands on the page, as it is. */
async function assertShows(page, status) {
    assert.equal(await page.locator('article').count(), status.policies.length);
    for (const policy of status.policies) {
        await assertShowsPolicy(page, policy);
    }
    for (const zone of status.zones) {
        const part = page.locator(`[data-zone="${zone.name}"]`);
        assert.equal((await fact(part, 'Entries').getAttribute('title')).replaceAll(',', ''), `${zone.entries} of ${zone.capacity}`);
        assert.equal(parseInt((await fact(part, 'Evicted, idle').getAttribute('title')).replaceAll(',', ''), 10), zone.evictions.idle);
        assert.equal(parseInt((await fact(part, 'Evicted, still').getAttribute('title')).replaceAll(',', ''), 10), zone.evictions.live);
        assert.equal(await exact(fact(part, 'Found no room')), zone.no_room);
    }
    assert.equal(await page.locator('#redis-card').isVisible(), Boolean(status.redis));
    if (status.redis) {
        const part = page.locator('#redis-card');
        assert.equal(await page.textContent('#redis-up'), status.redis.up ? 'up' : 'down');
        assert.equal(await exact(fact(part, 'Commands')), status.redis.commands.ok);
        assert.equal(await exact(fact(part, 'Errors')), status.redis.commands.error);
        assert.equal(await exact(fact(part, 'No answer')), status.redis.commands.lost);
    }
    await assertShowsModels(page, status.models);
    assert.deepEqual(await page.locator('#overrides .key').allTextContents(), status.overrides.map(override => override.key));
}

/** Every model is there, the one used most first, today and in all. */
async function assertShowsModels(page, { list }) {
    const card = page.locator('#models-card');
    assert.equal(await card.isVisible(), list.length > 0);
    for (const part of list.length ? ['total', 'today'] : []) {
        await card.locator(`[data-part=${part}]`).click();
        const more = card.getByText(/^Show all/);
        if (await more.isVisible()) {
            await more.click();
        }
        const weigh = use => use.spent ?? use.input + use.output;
        const wanted = list.filter(model => model[part].answers).sort((a, b) => weigh(b[part]) - weigh(a[part]))
            .map(model => [model.model, weigh(model[part])]);
        const rows = await card.locator('li').evaluateAll(nodes => nodes.map(node =>
            [node.dataset.model, Number(node.querySelector('.count').title.replaceAll(',', ''))]));
        assert.deepEqual(rows, wanted);
    }
}

// Counts that the page shows only if they are not zero, by their names in /status.
const REASONS = { 'Never fit': 'never', Blocked: 'blocked' };
const KINDS = {
    'Cache writes': 'cache_write', 'Cache writes, 1 h': 'cache_write_1h', 'Audio in': 'audio_input', Reasoning: 'reasoning',
    'Audio out': 'audio_output', Images: 'images', Searches: 'searches', Seconds: 'seconds',
};

const some = (counts, names) => Object.fromEntries(Object.entries(names).map(([label, name]) => [label, counts[name] || undefined]));

/** Every key for which requests wait is there, and every sharer, if there are any. */
async function assertShowsTurns(card, policy) {
    const rows = title => card.locator(`ol[aria-label=${title}] li`).evaluateAll(nodes => nodes.map(node =>
        [...node.querySelectorAll('.key, .count')].map(part => part.textContent.replaceAll(',', ''))));
    const keys = policy.waits?.keys ?? [];
    assert.equal(await card.locator('ol[aria-label=Waiting]').isVisible(), keys.length > 0);
    assert.deepEqual((await rows('Waiting')).map(([key, count]) => [key, parseInt(count, 10)]), keys.map(one => [one.key, one.waiting]));
    const sharers = policy.sharers ?? [];
    assert.equal(await card.locator('ol[aria-label=Sharers]').isVisible(), sharers.length > 0);
    const names = sharers.map(({ sharer, key }) => (sharer || 'no name') + (policy.key.includes('$') ? ` \u00b7 ${key}` : ''));
    assert.deepEqual((await rows('Sharers')).map(([name]) => name), names);
}

async function assertShowsPolicy(page, policy) {
    const card = page.locator(`[data-policy="${policy.name}"]`);
    assert.equal(await card.locator('h2').textContent(), policy.name);
    assert.ok((await card.locator('.limit').textContent()).startsWith(policy.limit));
    const tokens = policy.tokens ?? {};
    const charged = policy.money ?? tokens;
    const dryRun = policy.dry_run || policy.requests.rejected_dry_run ? policy.requests.rejected_dry_run : undefined;
    const wanted = {
        Passed: policy.requests.passed, Refused: policy.requests.rejected, ...some(policy.rejections ?? {}, REASONS), 'Would refuse': dryRun,
        'In flight': policy.in_flight, Waiting: policy.waits?.now, 'Tokens in': tokens.input, 'Tokens out': tokens.output, ...some(tokens, KINDS),
        [policy.money ? 'Spent today' : 'Charged today']: policy.money ? charged.spent_today : charged.charged_today,
        [policy.money ? 'Spent' : 'Charged']: policy.money ? charged.spent : charged.charged, Reserved: charged.reserved, Overshoot: charged.overshoot, Cut: charged.cut || undefined,
        Lowered: charged.output_lowered || undefined, 'No usage': charged.usage_missing,
    };
    const shown = await card.locator('[data-stat]:visible').evaluateAll(nodes => nodes.map(node =>
        [node.dataset.stat, Number(node.querySelector('b').title.replaceAll(',', ''))]));
    assert.deepEqual(shown, Object.entries(wanted).filter(([, n]) => n !== undefined));
    const about = await card.locator('.about').textContent();
    for (const name of ['burst', 'count', 'tz', 'wait', 'share', 'weight'].filter(name => policy[name])) {
        assert.ok(about.includes(`${name}=${policy[name]}`), about);
    }
    await assertShowsTurns(card, policy);
    for (const tab of ['requests', 'refusals', ...policy.tokens ? policy.money ? ['money', 'money_today'] : ['tokens'] : []]) {
        await card.locator(`[data-tab=${tab}]`).click();
        const more = card.getByText(/^Show all/);
        if (await more.isVisible()) {
            await more.click();
        }
        const rows = await card.locator('[role=tabpanel] li').evaluateAll(nodes => nodes.map(node =>
            [node.querySelector('.key').textContent, Number(node.querySelector('.count').title.replaceAll(',', ''))]));
        assert.deepEqual(rows, policy.top_keys[tab].map(({ key, count }) => [key, count]));
    }
}

test('shows what /status of nginx tells', async () => {
    const status = await (await fetch(`${BASE}/status`)).json();
    await withPage(null, {}, page => assertShows(page, status));
});

test('shows all that there can be, and abbreviates what is large', async () => {
    await withPage(new MockApi(), {}, async page => {
        await assertShows(page, example());
        assert.equal(await stat(page, 'user', 'Passed').textContent(), '1.23\u202fM');
        assert.equal(await stat(page, 'user', 'Refused').textContent(), '1,413');
        assert.equal(await stat(page, 'spend', 'Spent').textContent(), '$14.87');
        assert.equal(await stat(page, 'spend', 'Spent today').textContent(), '$4.88');
        assert.equal(await stat(page, 'spend', 'Overshoot').textContent(), '$0.000812');
        assert.deepEqual(await page.locator('[data-policy=tokens] .badge').allTextContents(), ['shared: 100ms', '3 errors']);
        assert.deepEqual(await page.locator('[data-policy=slots] .badge').allTextContents(), ['dry run']);
    });
});

test('shows since when the next request waits, and who has which part of a key', async () => {
    await withPage(new MockApi(), {}, async page => {
        const card = page.locator('[data-policy=gpu]');
        const waiting = card.locator('ol[aria-label=Waiting] li');
        // 13:45 UTC less the 83 seconds that it waits.
        assert.deepEqual(await waiting.locator('.count').allTextContents(), ['7, next since 22:43:37', '1, next since 22:44:59']);
        assert.equal(await waiting.locator('.count').first().getAttribute('title'), 'For 1 min 23 s');
        const sharers = card.locator('ol[aria-label=Sharers] li');
        assert.deepEqual(await sharers.locator('.count').allTextContents(), ['9 of 12', '3 of 4', '2 of 0']);
        assert.equal(await sharers.locator('.count').first().getAttribute('title'), 'Needs 12, weight 3');
        const bars = await sharers.evaluateAll(nodes => nodes.map(node => ['::before', '::after'].map(bar =>
            Math.round(100 * parseFloat(getComputedStyle(node, bar).width) / node.clientWidth))));
        assert.deepEqual(bars, [[100, 75], [33, 25], [0, 17]], 'the bar is the part, the line in it what is used');
        assert.equal(await page.locator('[data-policy=pool] ol[aria-label=Sharers] .count').first().textContent(), '$1.50 of $5');
        await waiting.locator('button.key').click();
        assert.equal(await page.textContent('#found-name'), WHOLE_KEY);
    });
});

test('shows no waiters and no sharers any more when they have gone', async () => {
    const api = new MockApi();
    await withPage(api, {}, async page => {
        const card = page.locator('[data-policy=gpu]');
        assert.ok(await card.getByText('next since').first().isVisible());
        const gpu = api.status.policies.find(policy => policy.name === 'gpu');
        gpu.waits = { ...gpu.waits, now: 0, keys: [] };
        gpu.sharers = gpu.sharers.slice(0, 1);
        await eventually(page, async () => !(await card.locator('ol[aria-label=Waiting]').isVisible()), 'nobody to wait');
        assert.equal(await card.locator('ol[aria-label=Sharers] li').count(), 1);
    });
});

test('says what was spent today, by model and by key, and since when', async () => {
    await withPage(new MockApi(), {}, async page => {
        const card = page.locator('#models-card');
        assert.equal(await page.textContent('#models-window'), '$4.88 spent since 0:00 +09:00, by the model that answers were charged for');
        const first = card.locator('li').first();
        assert.equal(await first.locator('.key').textContent(), 'gpt-5');
        assert.equal(await first.locator('.count').textContent(), '$4.10');
        assert.equal(await first.locator('.about').textContent(), '120 answers \u00b7 500\u202fk tokens in \u00b7 60\u202fk out');
        await card.getByText('In all').click();
        assert.equal(await first.locator('.count').textContent(), '$10.10');
        await card.getByText('Show all 7').click();
        assert.equal(await card.locator('li').last().locator('.key').textContent(), 'all others');
        const spend = page.locator('[data-policy=spend]');
        assert.equal(await spend.locator('.window').textContent(), 'Dollars spent since 0:00 +09:00');
        assert.equal(await spend.locator('.top .count').first().textContent(), '$4.87');
        await spend.locator('[data-tab=money]').click();
        assert.equal(await spend.locator('.window').textContent(), 'Dollars spent in the last 5 to 10 minutes');
    });
});

test('draws the dollars of a policy in money', async () => {
    await withPage(new MockApi(), {}, async page => {
        const chart = page.locator('[data-policy=spend] .chart').nth(1);
        const { money } = example().policies.find(policy => policy.name === 'spend').history;
        const total = money.reduce((a, b) => a + b, 0).toLocaleString('en', { maximumFractionDigits: 6 });
        const label = await chart.locator('[role=img]').getAttribute('aria-label');
        assert.ok(label.startsWith(`Dollars spent of the last 10 min: $${total} spent.`), label);
        await chart.locator('[role=img]').focus();
        await page.keyboard.press('ArrowLeft');
        await shows(chart.locator('figcaption'), `$${money.at(-1)} spent`);
        assert.ok((await chart.locator('text').allTextContents()).includes('$0.004'));
    });
});

test('draws what was refused below the line and what passed above it, with the times of the place', async () => {
    await withPage(new MockApi(), {}, async page => {
        const chart = page.locator('[data-policy=user] .chart');
        const box = name => chart.locator(`[data-series=${name}]`).boundingBox();
        const [passed, refused] = [await box('passed'), await box('rejected')];
        assert.ok(refused.y >= passed.y + passed.height - 1, 'apart');
        assert.ok(passed.height > 3 * refused.height, 'of one scale');
        const label = await chart.locator('[role=img]').getAttribute('aria-label');
        const { history } = example().policies[0];
        const total = list => list.reduce((a, b) => a + b, 0).toLocaleString('en');
        assert.ok(label.includes(`${total(history.passed)} passed, ${total(history.rejected)} refused`), label);
        // 13:45 UTC.
        const texts = await chart.locator('text').allTextContents();
        assert.deepEqual(texts.filter(text => text.includes(':')), ['22:36', '22:38', '22:40', '22:42', '22:44']);
    });
});

test('reads single moments of a chart by keyboard', async () => {
    await withPage(new MockApi(), {}, async page => {
        const chart = page.locator('[data-policy=user] .chart');
        await chart.locator('[role=img]').focus();
        await page.keyboard.press('ArrowLeft');
        await page.keyboard.press('ArrowLeft');
        const { history } = example().policies[0];
        await shows(chart.locator('figcaption'), `22:44:50\u2002${history.passed.at(-2)} passed, ${history.rejected.at(-2)} refused`);
        await page.keyboard.press('Escape');
        await shows(chart.locator('figcaption'), 'Requests per 5 s');
    });
});

test('says what to do where there is no policy yet, and shows the first one when it comes', async () => {
    const api = new MockApi({ ...example(), policies: [], overrides: [], redis: null });
    await withPage(api, {}, async page => {
        assert.ok(await page.getByText('ai_limit_policy per_client').isVisible());
        assert.ok(!(await page.locator('#find').isVisible()));
        api.status = example();
        await eventually(page, () => page.locator('[data-policy=user]').isVisible(), 'a policy');
        assert.ok(!(await page.locator('#empty').isVisible()));
    });
});

test('takes what nginx tells for text', async () => {
    const evil = '<script>window.hit=1</script><img src=x onerror="window.hit=1">';
    const status = example();
    const [policy] = status.policies;
    Object.assign(policy, { name: evil, key: evil, limit: evil, zone: evil, sync: evil, algorithm: evil });
    policy.top_keys.requests = [{ key: evil, count: 3, whole: true }, { key: evil, count: 2, whole: false }];
    policy.waits = { now: 1, keys: [{ key: evil, whole: true, waiting: 1, next_waited: 0 }] };
    policy.sharers = [{ sharer: evil, key: evil, whole: true, part: 1, used: 1, need: 1, weight: 1 }];
    status.overrides = [{ policy: evil, key: evil, rate: evil, expires_in: 60 }];
    status.zones[0].name = evil;
    Object.assign(status.redis, { sync: evil, on_failure: evil, up: false });
    status.models.list[0].model = evil;
    status.version = evil;
    const known = { policy: evil, key: evil, measure: 'requests', limit: 60, remaining: 1, reset: 3, used: 59, override: { rate: evil, expires_in: 9 } };
    const api = new MockApi(status, { [`${evil} ${evil}`]: known });
    await withPage(api, {}, async page => {
        const card = page.locator('article').first();
        assert.equal(await card.locator('h2').textContent(), evil);
        assert.deepEqual(await card.locator('.top .key').allTextContents(), [evil, evil, evil, evil]);
        await card.locator('[role=tabpanel] button.key').click();
        await shows(page.locator('#found-name'), evil);
        await shows(page.locator('#found-facts'), evil);
        assert.deepEqual(api.asked('GET').at(-1), `GET keys?policy=${encodeURIComponent(evil)}&key=${encodeURIComponent(evil)}`);
        assert.equal(await page.evaluate(() => window.hit), undefined);
        assert.equal(await page.locator('img, script:not(body > script)').count(), 0);
    });
});
