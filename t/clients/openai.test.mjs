import assert from 'node:assert/strict';
import { test } from 'node:test';

import OpenAI from 'openai';

import { assertWaitsAsTold, baseUrl, recordingFetch, refusal } from './attempts.mjs';
import { counted, countedRequest } from './counted.mjs';
import { collect, joinCalls, question as asked, testCounts } from './counts.mjs';
import { testRefusals } from './refusals.mjs';

function client(apiKey, options) {
    return new OpenAI({ apiKey, baseURL: baseUrl('/openai/v1'), ...options });
}

const question = { model: 'test-model', messages: [{ role: 'user', content: 'Hi' }] };

test('openai retries a refused request after the wait it was told', async () => {
    const { attempts, fetch } = recordingFetch();
    const openai = client('openai-retry', { fetch });
    await assertWaitsAsTold(attempts, async () => {
        const answer = await openai.chat.completions.create(question);
        assert.ok(answer.choices[0].message.content);
    });
});

test('openai reads a stream to its end', async () => {
    const stream = await client('openai-stream').chat.completions.create({
        ...question,
        stream: true,
        stream_options: { include_usage: true },
    });
    let text = '';
    let usage = null;
    for await (const chunk of stream) {
        text += chunk.choices[0]?.delta?.content ?? '';
        usage = chunk.usage ?? usage;
    }
    assert.ok(text);
    assert.ok(usage.total_tokens > 0);
});

test('openai understands the refusal', async () => {
    const openai = client('openai-refused', { maxRetries: 0 });
    const error = await refusal(() => openai.chat.completions.create(question));
    assert.ok(error instanceof OpenAI.RateLimitError);
    assert.equal(error.code, 'rate_limit_exceeded');
    assert.equal(error.type, 'requests');
    assert.match(error.message, /try again in/);
});

// Connects to a location that limits tokens and asks every stream for its usage.
function countedClient() {
    const { id, headers } = countedRequest();
    const openai = new OpenAI({
        apiKey: 'openai-counted',
        baseURL: baseUrl('/tokens/v1'),
        defaultHeaders: headers,
    });
    return { id, openai };
}

async function streamed(openai, options) {
    const stream = await openai.chat.completions.create({ ...question, stream: true, ...options });
    const chunks = [];
    for await (const chunk of stream) {
        chunks.push(chunk);
    }
    return chunks;
}

function asCounted(usage) {
    return {
        input: usage.prompt_tokens,
        output: usage.completion_tokens,
        cached: usage.prompt_tokens_details.cached_tokens,
        total: usage.total_tokens,
    };
}

test('openai is told what was counted', async () => {
    const { id, openai } = countedClient();
    const { usage } = await openai.chat.completions.create(question);
    assert.deepEqual(await counted(id), asCounted(usage));
});

test('openai is told what was counted at the end of a stream, if it asks', async () => {
    const { id, openai } = countedClient();
    const chunks = await streamed(openai, { stream_options: { include_usage: true } });
    const { choices, usage } = chunks.at(-1);
    assert.deepEqual(choices, []);
    assert.deepEqual(await counted(id), asCounted(usage));
});

test('openai does not see the usage of a stream that it did not ask for', async () => {
    const asking = countedClient();
    const told = await streamed(asking.openai, { stream_options: { include_usage: true } });
    const { id, openai } = countedClient();
    const chunks = await streamed(openai);
    assert.equal(chunks.length, told.length - 1);
    assert.ok(chunks.every((chunk) => !chunk.usage && chunk.choices.length === 1));
    assert.equal(chunks.at(-1).choices[0].finish_reason, 'stop');
    assert.deepEqual(await counted(id), asCounted(told.at(-1).usage));
});

test('openai is told what was counted at the end of a response', async () => {
    const { id, openai } = countedClient();
    const stream = openai.responses.stream({ model: 'test-model', input: 'Hi' });
    const { usage } = await stream.finalResponse();
    assert.deepEqual(await counted(id), {
        input: usage.input_tokens,
        output: usage.output_tokens,
        cached: usage.input_tokens_details.cached_tokens,
        total: usage.total_tokens,
    });
});

function connect({ url, key }) {
    return new OpenAI({ apiKey: key, baseURL: `${url}/v1` });
}

function chat(tool) {
    return {
        model: 'test-model',
        messages: [{ role: 'user', content: asked }],
        ...(tool && { tools: [{ type: 'function', function: tool }] }),
    };
}

const chatSdk = {
    name: 'openai-chat',
    connect,
    whole: async (openai, tool) => [await openai.chat.completions.create(chat(tool))],
    stream: async (openai, tool) => collect(await openai.chat.completions.create({
        ...chat(tool), stream: true, stream_options: { include_usage: true },
    })),
    usage: (parts) => asCounted(parts.at(-1).usage),
    calls: (parts) => joinCalls(parts
        .flatMap((part) => part.choices)
        .flatMap((choice) => (choice.message ?? choice.delta).tool_calls ?? [])
        .map((call) => ({ index: call.index, name: call.function.name, text: call.function.arguments }))),
};

testCounts(chatSdk);
testRefusals(chatSdk, {
    in_2s: 'answered after 2',
    in_30s: 'answered after 2',
    in_90s: 'error after 1',
    in_a_day: 'error after 1',
    busy: 'answered after 3',
    never: 'error after 1',
    blocked: 'error after 1',
});

function response(tool) {
    return {
        model: 'test-model',
        input: asked,
        ...(tool && { tools: [{ type: 'function', strict: false, ...tool }] }),
    };
}

testCounts({
    name: 'openai-responses',
    connect,
    whole: async (openai, tool) => [await openai.responses.create(response(tool))],
    stream: async (openai, tool) => collect(await openai.responses.create({ ...response(tool), stream: true })),
    usage(parts) {
        const { usage } = parts.at(-1).response ?? parts.at(-1);
        return {
            input: usage.input_tokens,
            output: usage.output_tokens,
            cached: usage.input_tokens_details.cached_tokens,
            total: usage.total_tokens,
        };
    },
    calls: (parts) => (parts.at(-1).response ?? parts.at(-1)).output
        .filter((item) => item.type === 'function_call')
        .map((item) => ({ name: item.name, arguments: JSON.parse(item.arguments) })),
});
