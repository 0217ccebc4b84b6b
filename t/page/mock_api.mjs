// Answers like ai_limit_api with states that are hard to bring a real nginx into: an example with all that there can
// be, and a stand-in for the answers on a browser's way to nginx.

const STEP = 5;
const SLOTS = 120;

export const WHOLE_KEY = 'key:0123456789abcdef0123456789abcdef';

/** SLOTS numbers of a gentle curve around `middle`, the same every time. */
function curve(middle, seed = 1) {
    return Array.from({ length: SLOTS }, (_, i) =>
        Math.max(0, Math.round(middle * (1 + 0.45 * Math.sin(i / 9 + seed) + 0.3 * Math.sin(i * 1.7 * seed)))));
}

/** `count` where the curve is over it; a burst of refusals. */
function burst(from, to, count) {
    return Array.from({ length: SLOTS }, (_, i) => (i >= from && i < to ? count + ((i * 7) % 4) : 0));
}

const none = () => new Array(SLOTS).fill(0);

function key(name, count, whole = true) {
    return { key: name, count, whole };
}

function model(name, today, total) {
    const use = ([answers, input, cached_input, output, spent]) => ({ answers, input, cached_input, output, spent });
    return { model: name, today: use(today), total: use(total) };
}

/** Returns an answer of /status with everything in it that there can be. A new object each time. */
export function example() {
    const clients = ['8c1f', '77aa', 'd20e', '4b5b', 'e0c3', '19f7'];
    const hash = start => `key:${start}${'0123456789abcdef'.repeat(2).slice(4)}`;
    return {
        version: '0.1.0',
        nginx: '1.22.1',
        write: true,
        time: '2026-11-28T13:45:00Z',
        zones: [
            { name: 'ai', size: 67108864, entries: 1234567, capacity: 2097152, evictions: { idle: 120, live: 0 }, no_room: 0 },
            { name: 'addresses', size: 1048576, entries: 31800, capacity: 32768, evictions: { idle: 88123, live: 17 }, no_room: 2 },
        ],
        policies: [
            {
                name: 'user', zone: 'ai', key: '$ai_limit_client', algorithm: 'token_bucket', measure: 'requests',
                limit: '60r/m', phase: 'access', sync: 'off', dry_run: false,
                requests: { passed: 1234567, rejected: 1413, rejected_dry_run: 0 }, rejections: { wait: 1056, never: 12, blocked: 345 }, errors: 0,
                history: {
                    step: STEP, passed: curve(42), rejected: burst(70, 96, 9).map((n, i) => n + (i % 31 === 0 ? 2 : 0)),
                    rejected_dry_run: none(), tokens: none(),
                },
                top_keys: {
                    requests: [key(WHOLE_KEY, 1480), key('sk-1…9f2c', 912, false), key('ip:203.0.113.9', 401),
                        ...clients.map((start, i) => key(hash(start), 300 - 37 * i))],
                    refusals: [key(WHOLE_KEY, 260), key('ip:203.0.113.9', 3)],
                    tokens: [],
                },
            },
            {
                name: 'tokens', zone: 'ai', key: '$ai_limit_client', algorithm: 'fixed_window', measure: 'tokens',
                limit: '100kt/d', phase: 'access', sync: '100ms', dry_run: false,
                requests: { passed: 98120, rejected: 0, rejected_dry_run: 0 },
                tokens: {
                    input: 40213000, output: 9120345, cached_input: 1034000, cache_write: 71000, cache_write_1h: 5200, audio_input: 900,
                    reasoning: 1200345, audio_output: 0, images: 14, searches: 0, seconds: 360, reserved: 51200, charged: 49333345, charged_today: 912345, overshoot: 812, usage_missing: 1, cut: 3,
                    output_lowered: 5,
                },
                errors: 3,
                history: { step: STEP, passed: curve(18, 2), rejected: none(), rejected_dry_run: none(), tokens: curve(38000, 3) },
                top_keys: {
                    requests: [key(WHOLE_KEY, 700)],
                    refusals: [],
                    tokens: [key(WHOLE_KEY, 912345), key(hash('77aa'), 40100), key(hash('d20e'), 39000)],
                },
            },
            {
                name: 'spend', zone: 'ai', key: '$ai_limit_client', algorithm: 'fixed_window', measure: 'money',
                limit: '20usd/d', tz: '+09:00', phase: 'access', sync: 'off', dry_run: false,
                requests: { passed: 512, rejected: 3, rejected_dry_run: 0 }, rejections: { wait: 3, never: 0, blocked: 0 },
                tokens: {
                    input: 700123, output: 90012, cached_input: 0, cache_write: 0, cache_write_1h: 0, audio_input: 0, reasoning: 0, audio_output: 0,
                    images: 0, searches: 0, seconds: 0,
                },
                money: { spent: 14.873215, spent_today: 4.877415, reserved: 0.0412, reserve_ratio: 1.25, overshoot: 0.000812, overrun: 'debt', usage_missing: 0, cut: 2 },
                errors: 0,
                history: { step: STEP, passed: curve(3, 2), rejected: none(), rejected_dry_run: none(), tokens: curve(2000, 3),
                    money: curve(2000, 3).map(millionths => millionths / 1e6) },
                top_keys: {
                    requests: [key(WHOLE_KEY, 70)], refusals: [key(WHOLE_KEY, 3)], money: [key(WHOLE_KEY, 0.873215), key(hash('77aa'), 0.0042)],
                    money_today: [key(WHOLE_KEY, 4.873215), key(hash('77aa'), 0.0042)],
                },
            },
            {
                name: 'slots', zone: 'ai', key: '$ai_limit_client', algorithm: 'concurrency', measure: 'in_flight',
                limit: '4', phase: 'access', sync: 'off', dry_run: true,
                requests: { passed: 98115, rejected: 0, rejected_dry_run: 35 }, in_flight: 12, errors: 0,
                history: { step: STEP, passed: curve(18, 2), rejected: none(), rejected_dry_run: burst(30, 41, 1), tokens: none() },
                top_keys: { requests: [key(WHOLE_KEY, 700), key(hash('e0c3'), 12)], refusals: [], tokens: [] },
            },
            {
                name: 'gpu', zone: 'ai', key: '$model', algorithm: 'concurrency', measure: 'in_flight',
                limit: '16', wait: '90s', share: '$tenant', weight: '$weight', phase: 'access', sync: 'off', dry_run: false,
                requests: { passed: 4021, rejected: 12, rejected_dry_run: 0 }, in_flight: 14, errors: 0,
                waits: { now: 8, ended: 340, seconds: 812.5, keys: [
                    { key: WHOLE_KEY, whole: true, waiting: 7, next_waited: 83 }, { key: 'sk-1…9f2c', whole: false, waiting: 1, next_waited: 0.4 },
                ] },
                sharers: [
                    { sharer: 'team…blue', key: WHOLE_KEY, whole: true, weight: 3, part: 12, used: 9, need: 12 },
                    { sharer: '', key: WHOLE_KEY, whole: true, weight: 1, part: 4, used: 3, need: 4 },
                    { sharer: 'team…gray', key: 'sk-1…9f2c', whole: false, weight: 1, part: 0, used: 2, need: 0 },
                ],
                history: { step: STEP, passed: curve(9, 2), rejected: none(), rejected_dry_run: none(), tokens: none() },
                top_keys: { requests: [key(WHOLE_KEY, 70)], refusals: [], tokens: [] },
            },
            {
                name: 'pool', zone: 'ai', key: 'all', algorithm: 'fixed_window', measure: 'money',
                limit: '20usd/d', tz: '+00:00', share: '$tenant', weight: '1', phase: 'access', sync: 'off', dry_run: false,
                requests: { passed: 9, rejected: 0, rejected_dry_run: 0 }, rejections: { wait: 0, never: 0, blocked: 0 },
                tokens: {
                    input: 900, output: 90, cached_input: 0, cache_write: 0, cache_write_1h: 0, audio_input: 0, reasoning: 0, audio_output: 0,
                    images: 0, searches: 0, seconds: 0,
                },
                money: { spent: 1.5, spent_today: 1.5, reserved: 0, reserve_ratio: 1, overshoot: 0, overrun: 'debt', usage_missing: 0, cut: 0 },
                errors: 0,
                sharers: [{ sharer: 'team…blue', key: 'all', whole: true, weight: 1, part: 5, used: 1.5, need: 5 }],
                history: { step: STEP, passed: curve(1, 2), rejected: none(), rejected_dry_run: none(), tokens: none(), money: none() },
                top_keys: { requests: [key('all', 9)], refusals: [], money: [], money_today: [] },
            },
            {
                name: 'addr', zone: 'addresses', key: '$ai_limit_addr', algorithm: 'sliding_window', measure: 'requests',
                limit: '300r/m', phase: 'preaccess', sync: 'off', dry_run: false,
                requests: { passed: 5, rejected: 0, rejected_dry_run: 0 }, errors: 0,
                history: { step: STEP, passed: [0, 3, 2], rejected: [0, 0, 0], rejected_dry_run: [0, 0, 0], tokens: [0, 0, 0] },
                top_keys: { requests: [], refusals: [], tokens: [] },
            },
        ],
        models: {
            tz: '+09:00',
            list: [
                model('gpt-5', [120, 500100, 0, 60012, 4.1], [240, 1000100, 0, 160012, 10.1]),
                model('claude-sonnet-4-5-20250929', [40, 200000, 150000, 30000, 0.777415], [81, 400000, 300000, 60000, 4.673215]),
                ...['small-1', 'small-2', 'small-3', 'small-4'].map(name => model(name, [1, 100, 0, 50, 0], [3, 300, 0, 150, 0.025])),
                model('other', [0, 0, 0, 0, 0], [2, 20, 0, 10, 0]),
            ],
        },
        overrides: [
            { policy: 'user', key: 'ip:203.0.113.9', rate: '600r/m', expires_in: 3540 },
            { policy: 'tokens', key: 'sk-1…9f2c', rate: '1Mt/d', expires_in: 200000 },
        ],
        redis: { up: true, sync: '100ms', on_failure: 'local', nodes: 2, commands: { ok: 1000123, error: 0, lost: 4 } },
    };
}

/** Keys for a MockApi: WHOLE_KEY, of which four fifths are used. */
export const known = () => ({
    [`user ${WHOLE_KEY}`]: { policy: 'user', key: WHOLE_KEY, measure: 'requests', limit: 60, remaining: 12, reset: 94, used: 48 },
});

/**
 * Answers in nginx's place whatever a page asks, but for the page itself. `status` is what it tells, `keys` what it
 * knows of keys ("policy key" => what GET answers). `failure` is what becomes of all that is asked: "down", or the
 * status of an error. `requests` lists what was asked, as "GET keys?...".
 */
export class MockApi {
    constructor(status = example(), keys = {}) {
        Object.assign(this, { status, keys, requests: [], failure: null });
    }

    async stand(page, base) {
        await page.route(`${base}/status`, route => this.answer(route, () => [200, this.status]));
        await page.route(`${base}/keys?*`, route => this.answer(route, request => this.key(request)));
    }

    asked(method) {
        return this.requests.filter(request => request.startsWith(`${method} keys`));
    }

    answer(route, make) {
        const request = route.request();
        this.requests.push(`${request.method()} ${request.url().replace(/^.*\//, '')}`);
        if (this.failure === 'down') {
            return route.abort('connectionrefused');
        }
        if (this.failure) {
            return route.fulfill({ status: this.failure, contentType: 'text/html', body: '<h1>no</h1>' });
        }
        const [status, body] = make(request);
        return route.fulfill({ status, contentType: 'application/json', body: JSON.stringify(body) });
    }

    key(request) {
        const asked = new URL(request.url()).searchParams;
        const name = `${asked.get('policy')} ${asked.get('key')}`;
        const found = this.keys[name];
        if (!found) {
            return [404, { error: 'no such key' }];
        }
        if (request.method() === 'DELETE') {
            delete this.keys[name];
            return [200, { policy: found.policy, key: found.key, forgotten: true }];
        }
        if (request.method() === 'PUT') {
            if (!/^\d+[kMG]?(?:r|t|usd)\/\w+$/.test(asked.get('rate'))) {
                return [400, { error: 'invalid rate' }];
            }
            found.override = { rate: asked.get('rate'), expires_in: Number(asked.get('ttl')) };
        }
        return [200, found];
    }
}
