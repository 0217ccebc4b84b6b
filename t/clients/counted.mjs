// Reads what nginx has counted for a request from its access log.

import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { setTimeout } from 'node:timers/promises';

const PATIENCE_MS = 20_000;

// Headers that mark a request, and have the model server say that it used so much.
export function countedRequest() {
    const id = randomUUID();
    return {
        id,
        headers: {
            'X-Id': id,
            'X-Model-Prompt-Tokens': '321',
            'X-Model-Completion-Tokens': '123',
            'X-Model-Cached-Tokens': '40',
        },
    };
}

// {input, output, cached, total} of the request with these headers, once it has ended.
export async function counted(id) {
    const deadline = performance.now() + PATIENCE_MS;
    for (;;) {
        const log = await readFile(process.env.ACCESS_LOG, 'utf8');
        const line = log.split('\n').find((text) => text.startsWith(`${id} `));
        if (line) {
            const [, source, ...counts] = line.split(' ');
            assert.equal(source, 'response', 'the usage is from the answer');
            const [input, output, cached, total] = counts.map(Number);
            return { input, output, cached, total };
        }
        assert.ok(performance.now() < deadline, 'the access log has the request');
        await setTimeout(20);
    }
}
