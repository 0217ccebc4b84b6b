// Requirements for every client, whichever SDK it uses.

import assert from 'node:assert/strict';

// Timers may ring a little early by the clock that measures them.
const TOLERANCE_MS = 20;

export function baseUrl(path) {
    assert.ok(process.env.BASE_URL, 'BASE_URL is where nginx listens');
    return process.env.BASE_URL + path;
}

// A fetch() that notes each attempt: {status, headers, sent, answered}, times in ms.
export function recordingFetch() {
    const attempts = [];
    const record = async (url, init) => {
        const sent = performance.now();
        const response = await fetch(url, init);
        attempts.push({
            status: response.status,
            headers: response.headers,
            sent,
            answered: performance.now(),
        });
        return response;
    };
    return { attempts, fetch: record };
}

// Checks that one request passes, and that another one is refused, waits as long as it was told to, and passes.
export async function assertWaitsAsTold(attempts, request) {
    await request();
    assert.deepEqual(attempts.map((a) => a.status), [200], 'the first request passes');
    await request();
    assert.deepEqual(attempts.map((a) => a.status), [200, 429, 200], 'one refusal, one retry');

    const [, refused, retried] = attempts;
    const told = Number(refused.headers.get('retry-after-ms') ?? refused.headers.get('retry-after') * 1000);
    assert.ok(told > 0, 'a refusal names the wait');
    const waited = retried.sent - refused.answered;
    assert.ok(waited >= told - TOLERANCE_MS, `waited ${waited} ms, told ${told} ms`);
}

// Two requests without retries: the second one's error, as the SDK reports it.
export async function refusal(request) {
    await request();
    try {
        await request();
    } catch (error) {
        return error;
    }
    return assert.fail('the second request was not refused');
}
