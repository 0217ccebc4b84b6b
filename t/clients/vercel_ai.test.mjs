import assert from 'node:assert/strict';
import { test } from 'node:test';

import { createOpenAI } from '@ai-sdk/openai';
import { APICallError, generateText, jsonSchema, streamText } from 'ai';

import { assertWaitsAsTold, baseUrl, recordingFetch, refusal } from './attempts.mjs';
import { counted, countedRequest } from './counted.mjs';
import { collect, question, testCounts } from './counts.mjs';
import { testRefusals } from './refusals.mjs';

function model(apiKey, options) {
    return createOpenAI({ apiKey, baseURL: baseUrl('/openai/v1'), ...options }).chat('test-model');
}

test('ai retries a refused request after the wait it was told', async () => {
    const { attempts, fetch } = recordingFetch();
    const asked = { model: model('ai-retry', { fetch }), prompt: 'Hi' };
    await assertWaitsAsTold(attempts, async () => {
        const { text } = await generateText(asked);
        assert.ok(text);
    });
});

test('ai understands the refusal', async () => {
    const asked = { model: model('ai-refused'), prompt: 'Hi', maxRetries: 0 };
    const error = await refusal(() => generateText(asked));
    assert.ok(APICallError.isInstance(error));
    assert.equal(error.statusCode, 429);
    assert.match(error.message, /try again in/);
});

test('ai is told what was counted at the end of a stream', async () => {
    const { id, headers } = countedRequest();
    const openai = createOpenAI({ apiKey: 'ai-counted', baseURL: baseUrl('/tokens/v1'), headers });
    const result = streamText({ model: openai.chat('test-model'), prompt: 'Hi' });
    assert.ok(await result.text);
    const usage = await result.usage;
    assert.deepEqual(await counted(id), {
        input: usage.inputTokens,
        output: usage.outputTokens,
        cached: usage.inputTokenDetails.cacheReadTokens,
        total: usage.totalTokens,
    });
});

function toTheModel(chosen, tool) {
    return {
        model: chosen,
        prompt: question,
        ...(tool && {
            tools: { [tool.name]: { description: tool.description, inputSchema: jsonSchema(tool.parameters) } },
        }),
    };
}

// Returns an answer without times and ids, which differ each time.
function told({ text, toolCalls, finishReason, totalUsage }) {
    return { text, toolCalls, finishReason, totalUsage };
}

for (const api of ['chat', 'responses']) {
    const sdk = {
        name: `ai-${api}`,
        connect: ({ url, key }) => createOpenAI({ apiKey: key, baseURL: `${url}/v1` })[api]('test-model'),
        whole: async (chosen, tool) => [told(await generateText(toTheModel(chosen, tool)))],
        async stream(chosen, tool) {
            let failure;
            const onError = ({ error }) => { failure = error; };
            const result = streamText({ ...toTheModel(chosen, tool), onError });
            const texts = await collect(result.textStream);
            if (failure) {
                throw failure;
            }
            const [text, toolCalls, finishReason, totalUsage] = await Promise.all(
                [result.text, result.toolCalls, result.finishReason, result.totalUsage],
            );
            return [...texts, { text, toolCalls, finishReason, totalUsage }];
        },
        usage(parts) {
            const usage = parts.at(-1).totalUsage;
            return {
                input: usage.inputTokens,
                output: usage.outputTokens,
                cached: usage.inputTokenDetails.cacheReadTokens,
                total: usage.totalTokens,
            };
        },
        calls: (parts) => parts.at(-1).toolCalls.map((call) => ({ name: call.toolName, arguments: call.input })),
    };
    testCounts(sdk);
    // Both retry in the same way.
    if (api === 'chat') {
        testRefusals(sdk, {
            in_2s: 'answered after 2',
            in_30s: 'answered after 2',
            in_90s: 'error after 3',
            in_a_day: 'error after 3',
            busy: 'answered after 3',
            never: 'error after 1',
            blocked: 'error after 1',
        });
    }
}
