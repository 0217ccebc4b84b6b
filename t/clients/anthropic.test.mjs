import assert from 'node:assert/strict';
import { test } from 'node:test';

import Anthropic from '@anthropic-ai/sdk';

import { assertWaitsAsTold, baseUrl, recordingFetch, refusal } from './attempts.mjs';

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
