// Time that passes only when an SDK sleeps: each sleep takes a moment, and is noted at its full length.

const MOMENT_MS = 25;
const SHORTEST_SLEEP_MS = 200;

const setRealTimeout = globalThis.setTimeout;
let listener = null;

// SDKs sleep by a promise around a timer. The time limits of their requests, and Node.js's own timers, are none.
function isSleep(delay) {
    const [, , , caller = '', outside = ''] = new Error().stack.split('\n');
    return delay >= SHORTEST_SLEEP_MS && !caller.includes('node:') && (caller + outside).includes('new Promise');
}

function setTimeout(callback, delay = 0, ...values) {
    if (!listener || !isSleep(delay)) {
        return setRealTimeout(callback, delay, ...values);
    }
    const ring = listener;
    return setRealTimeout(() => {
        ring(delay);
        callback(...values);
    }, MOMENT_MS);
}

globalThis.setTimeout = setTimeout;

// Calls `onSleep` with the length in ms at the end of each sleep, until `work` has ended.
export async function skippingSleeps(onSleep, work) {
    listener = onSleep;
    try {
        return await work();
    } finally {
        listener = null;
    }
}
