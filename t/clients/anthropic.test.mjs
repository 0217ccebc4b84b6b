import assert from 'node:assert/strict';
import { test } from 'node:test';

import Anthropic from '@anthropic-ai/sdk';

import { assertWaitsAsTold, baseUrl, recordingFetch, refusal } from './attempts.mjs';
import { counted, countedRequest } from './counted.mjs';
import { collect, question as asked, testCounts } from './counts.mjs';
import { testRefusals } from './refusals.mjs';

function client(apiKey, options) {
    return new Anthropic({ apiKey, baseURL: baseUrl('/anthropic'), ...options });
}

const question = {
    model: 'test-model',
    max_tokens: 64,
    messages: [{ role: 'user', content: 'Hi' }],
};

test('anthropic retries a refused request after the wait it was told', async () => {
    const { attempts, fetch } = recordingFetch();
    const anthropic = client('anthropic-retry', { fetch });
    await assertWaitsAsTold(attempts, async () => {
        const answer = await anthropic.messages.create(question);
        assert.ok(answer.content[0].text);
    });
});

test('anthropic reads a stream to its end', async () => {
    const message = await client('anthropic-stream').messages.stream(question).finalMessage();
    assert.ok(message.content[0].text);
    assert.ok(message.usage.output_tokens > 0);
});

test('anthropic understands the refusal', async () => {
    const anthropic = client('anthropic-refused', { maxRetries: 0 });
    const error = await refusal(() => anthropic.messages.create(question));
    assert.ok(error instanceof Anthropic.RateLimitError);
    assert.equal(error.error.type, 'error');
    assert.equal(error.error.error.type, 'rate_limit_error');
});

// Anthropic's input does not include the tokens that a cache read or wrote; nginx counts them as input.
function asCounted(usage) {
    const cached = usage.cache_read_input_tokens;
    const input = usage.input_tokens + usage.cache_creation_input_tokens + cached;
    return { input, output: usage.output_tokens, cached, total: input + usage.output_tokens };
}

function countedClient() {
    const { id, headers } = countedRequest();
    const anthropic = new Anthropic({
        apiKey: 'anthropic-counted',
        baseURL: baseUrl('/tokens'),
        defaultHeaders: { ...headers, 'X-Model-Written-Tokens': '50' },
    });
    return { id, anthropic };
}

test('anthropic is told what was counted', async () => {
    const { id, anthropic } = countedClient();
    const { usage } = await anthropic.messages.create(question);
    assert.deepEqual(await counted(id), asCounted(usage));
});

test('anthropic is told what was counted at the end of a stream', async () => {
    const { id, anthropic } = countedClient();
    const { usage } = await anthropic.messages.stream(question).finalMessage();
    assert.deepEqual(await counted(id), asCounted(usage));
});

function messages(tool) {
    return {
        model: 'test-model',
        max_tokens: 64,
        messages: [{ role: 'user', content: asked }],
        ...(tool && { tools: [{ name: tool.name, description: tool.description, input_schema: tool.parameters }] }),
    };
}

const sdk = {
    name: 'anthropic',
    connect: ({ url, key }) => new Anthropic({ apiKey: key, baseURL: url }),
    whole: async (anthropic, tool) => [await anthropic.messages.create(messages(tool))],
    // The events, and behind them what the SDK makes of them all.
    async stream(anthropic, tool) {
        const stream = anthropic.messages.stream(messages(tool));
        const events = await collect(stream);
        return [...events, await stream.finalMessage()];
    },
    usage: (parts) => asCounted(parts.at(-1).usage),
    calls: (parts) => parts.at(-1).content
        .filter((block) => block.type === 'tool_use')
        .map((block) => ({ name: block.name, arguments: block.input })),
};

testCounts(sdk);
testRefusals(sdk, {
    in_2s: 'answered after 2',
    in_30s: 'answered after 2',
    in_90s: 'error after 1',
    in_a_day: 'error after 1',
    busy: 'answered after 3',
    never: 'error after 1',
    blocked: 'error after 1',
});
