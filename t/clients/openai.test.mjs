import assert from 'node:assert/strict';
import { test } from 'node:test';

import OpenAI from 'openai';

import { assertWaitsAsTold, baseUrl, recordingFetch, refusal } from './attempts.mjs';

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
