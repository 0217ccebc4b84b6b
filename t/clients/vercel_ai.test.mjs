import assert from 'node:assert/strict';
import { test } from 'node:test';

import { createOpenAI } from '@ai-sdk/openai';
import { APICallError, generateText } from 'ai';

import { assertWaitsAsTold, baseUrl, recordingFetch, refusal } from './attempts.mjs';

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
