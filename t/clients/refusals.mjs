// Tests how SDKs react to a refusal by themselves. A real nginx refuses each of them, and lets it in once the SDK has
// slept as long as it was told to. The sleeps are skipped (clock.mjs).

import assert from 'node:assert/strict';
import { basename } from 'node:path';
import { test } from 'node:test';
import { inspect } from 'node:util';

import { skippingSleeps } from './clock.mjs';
import { baseUrl } from './attempts.mjs';
import { openDoor } from './door.mjs';

// For each location below /refused/: whether another request has taken the quota, whether that request goes on, and
// what an error says. A request passes after the wait that the first refusal has announced, or, if the other one goes
// on, after one and a half times that wait.
const KINDS = {
    in_2s: { isTaken: true, words: /(?:again|retry) in \d/ },
    in_30s: { isTaken: true, words: /(?:again|retry) in [23]\d/ },
    in_90s: { isTaken: true, words: /(?:again|retry) in [89]\d/ },
    in_a_day: { isTaken: true, words: /(?:again|retry) in/ },
    busy: { isTaken: true, goesOn: true, words: /(?:again|retry) in/ },
    never: { isTaken: false, words: /too large|never fit/ },
    blocked: { isTaken: false, words: /blocked/ },
};

// What testRefusals() expects of an SDK that never tries again.
export const neverRetries = Object.fromEntries(Object.keys(KINDS).map((kind) => [kind, 'error after 1']));

const NAME = basename(process.argv[1], '.test.mjs');

function locationOf(kind) {
    return `/refused/${kind}${kind === 'busy' ? `_${NAME}` : ''}`;
}

// The first request teaches nginx how long requests hold a slot: 4 seconds. nginx then announces a wait between that
// and a quarter more.
const learned = fetch(`${baseUrl(locationOf('busy'))}/v1/models?delay=4000`, { headers: { 'X-Key': 'the first' } });

// Takes the only request of a key, or the only slot until the returned function is called.
async function take(location, key, goesOn) {
    const leaving = new AbortController();
    const response = await fetch(`${baseUrl(location)}/v1/models${goesOn ? '?hold_at=1' : ''}`, {
        headers: { 'X-Key': key },
        signal: leaving.signal,
    });
    assert.equal(response.status, 200, 'the first request passes');
    if (!goesOn) {
        await response.text();
    }
    return () => leaving.abort();
}

// Returns seconds; Infinity if the refusal names no wait.
function toldWait(headers) {
    return Number(headers['retry-after-ms'] ?? (headers['retry-after'] ?? Infinity) * 1000) / 1000;
}

// {attempts, slept, error}: the attempts as a door notes them, seconds, and what the SDK throws in the end, if it does.
async function tried(sdk, how, kind, key) {
    const { isTaken, goesOn } = KINDS[kind];
    const location = locationOf(kind);
    const headers = { 'X-Key': key };
    const release = isTaken ? await take(location, key, goesOn) : () => {};
    const door = await openDoor({ to: baseUrl(location), headers, protocol: sdk.protocol });
    let slept = 0;
    const onSleep = (ms) => {
        slept += ms / 1000;
        if (slept >= toldWait(door.attempts[0].headers) * (goesOn ? 1.5 : 1)) {
            // Another key has its own request, as this one has by then.
            headers['X-Key'] = `${key} later`;
        }
    };
    let error;
    try {
        await skippingSleeps(onSleep, () => sdk[how](sdk.connect({ url: door.url, key: 'refused' })));
    } catch (thrown) {
        error = thrown;
    } finally {
        door.close();
        release();
    }
    return { attempts: door.attempts, slept, error };
}

// The same once the first attempt was refused: on a busy machine, a short wait may be over before it.
async function refused(sdk, how, kind) {
    for (let round = 1; ; round += 1) {
        const outcome = await tried(sdk, how, kind, `${sdk.name} ${how} ${round}`);
        if (outcome.attempts[0].status !== 200 || round === 10) {
            return outcome;
        }
    }
}

// `expected` says for each kind what the SDK does: "answered after N" attempts, or "error after N".
export function testRefusals(sdk, expected) {
    for (const [kind, { words }] of Object.entries(KINDS)) {
        test(`${sdk.name} on a refusal that ends ${kind}: ${expected[kind]}`, async (t) => {
            await (kind === 'busy' && learned);
            for (const how of ['whole', 'stream']) {
                const { attempts, slept, error } = await refused(sdk, how, kind);
                const outcome = `${error ? 'error' : 'answered'} after ${attempts.length}`;
                t.diagnostic(`${how}: ${attempts[0].status}, Retry-After ${attempts[0].headers['retry-after']}: `
                    + `${outcome} and ${slept.toFixed(1)} s`);
                assert.equal(outcome, expected[kind], how);
                if (error) {
                    assert.match(inspect(error, { depth: 5 }), words, 'the error says why');
                }
            }
        });
    }
}
