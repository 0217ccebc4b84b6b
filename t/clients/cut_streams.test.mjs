// Streams that a budget ends (overrun=cut): to each SDK they are ordinary answers that have reached their limit.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { createOpenAI } from '@ai-sdk/openai';
import Anthropic from '@anthropic-ai/sdk';
import { GoogleGenAI } from '@google/genai';
import { streamText } from 'ai';
import { CohereClientV2 } from 'cohere-ai';
import { Ollama } from 'ollama';
import OpenAI from 'openai';

import { baseUrl } from './attempts.mjs';
import { collect, question, weather } from './counts.mjs';

const BUDGET = 100;
const PIECE = 20; // characters, which are five tokens

// The model says a hundred pieces; the budget of a key has room for fewer than twenty.
const headers = { 'X-Model-Chunks': '100', 'X-Model-Text': 'Q'.repeat(100 * PIECE), 'X-Model-Prompt-Tokens': '11' };
const url = baseUrl('/cut');
const messages = [{ role: 'user', content: question }];
const asked = { model: 'test-model', messages };

// The tokens that a text has, all of which the budget has room for.
function tokensOf(text) {
    assert.match(text, /^Q+$/);
    const tokens = text.length / 4;
    assert.ok(tokens > BUDGET / 2 && tokens <= BUDGET, `${tokens} tokens of text`);
    return tokens;
}

function openai(key) {
    return new OpenAI({ apiKey: key, baseURL: `${url}/v1`, defaultHeaders: headers, maxRetries: 0 });
}

test('openai chat ends with length', async () => {
    const stream = openai('cut-chat').chat.completions.stream({ ...asked, stream_options: { include_usage: true } });
    const { choices: [choice], usage } = await stream.finalChatCompletion();
    assert.equal(choice.finish_reason, 'length');
    assert.equal(usage.completion_tokens, tokensOf(choice.message.content));
    assert.equal(usage.total_tokens, usage.prompt_tokens + usage.completion_tokens);
});

test('openai chat without usage sees none', async () => {
    const chunks = await collect(await openai('cut-chat-no-usage').chat.completions.create({ ...asked, stream: true }));
    assert.equal(chunks.at(-1).choices[0].finish_reason, 'length');
    assert.ok(chunks.every((chunk) => !chunk.usage));
    tokensOf(chunks.map((chunk) => chunk.choices[0].delta.content ?? '').join(''));
});

test('openai completions end with length', async () => {
    const chunks = await collect(await openai('cut-completions').completions.create({
        model: 'test-model', prompt: question, stream: true, stream_options: { include_usage: true },
    }));
    assert.equal(chunks.at(-2).choices[0].finish_reason, 'length');
    const text = chunks.flatMap((chunk) => chunk.choices).map((choice) => choice.text).join('');
    assert.equal(chunks.at(-1).usage.completion_tokens, tokensOf(text));
});

test('an openai response is incomplete', async () => {
    const stream = openai('cut-responses').responses.stream({ model: 'test-model', input: question });
    let text = '';
    const done = [];
    stream.on('response.output_text.delta', ({ delta }) => { text += delta; });
    stream.on('response.output_text.done', (event) => done.push(event.text));
    stream.on('response.content_part.done', ({ part }) => done.push(part.text));
    stream.on('response.output_item.done', ({ item }) => done.push(item.content[0].text));
    const response = await stream.finalResponse();
    assert.deepEqual(done, [text, text, text]);
    assert.equal(response.output_text, text);
    assert.equal(response.output[0].status, 'incomplete');
    assert.equal(response.status, 'incomplete');
    assert.equal(response.incomplete_details.reason, 'max_output_tokens');
    assert.equal(response.usage.output_tokens, tokensOf(text));
    assert.equal(response.id, 'resp_1');
});

test('an anthropic message ends with max_tokens', async () => {
    const anthropic = new Anthropic({ apiKey: 'cut-anthropic', baseURL: url, defaultHeaders: headers, maxRetries: 0 });
    const message = await anthropic.messages.stream({ ...asked, max_tokens: 32000 }).finalMessage();
    assert.equal(message.stop_reason, 'max_tokens');
    assert.equal(message.usage.output_tokens, tokensOf(message.content.map((part) => part.text).join('')));
    assert.equal(message.usage.input_tokens, 11);
});

test('@google/genai ends with MAX_TOKENS', async () => {
    const google = new GoogleGenAI({ apiKey: 'cut-google', httpOptions: { baseUrl: url, headers } });
    const parts = await collect(await google.models.generateContentStream({ model: 'test-model', contents: question }));
    const last = parts.at(-1);
    assert.equal(last.candidates[0].finishReason, 'MAX_TOKENS');
    tokensOf(parts.map((part) => part.text ?? '').join(''));
    assert.equal(last.usageMetadata.totalTokenCount,
        last.usageMetadata.promptTokenCount + last.usageMetadata.candidatesTokenCount);
});

for (const api of ['chat', 'responses']) {
    test(`ai ends with length, ${api}`, async () => {
        const provider = createOpenAI({ apiKey: `cut-ai-${api}`, baseURL: `${url}/v1`, headers });
        const errors = [];
        const result = streamText({ model: provider[api]('test-model'), prompt: question, onError: ({ error }) => errors.push(error) });
        const parts = await collect(result.fullStream);
        assert.deepEqual(errors, []);
        assert.equal(await result.finishReason, 'length');
        const { outputTokens } = await result.usage;
        assert.equal(outputTokens, tokensOf(await result.text));
        assert.ok(parts.some((part) => part.type === 'text-end'), 'the text ends');
    });
}

test('ollama ends with length', async () => {
    const ollama = new Ollama({ host: url, headers: { ...headers, 'x-api-key': 'cut-ollama' } });
    const parts = await collect(await ollama.chat({ ...asked, stream: true }));
    assert.equal(parts.at(-1).done_reason, 'length');
    assert.equal(parts.at(-1).eval_count, tokensOf(parts.map((part) => part.message.content).join('')));
});

test('cohere ends with MAX_TOKENS', async () => {
    const cohere = new CohereClientV2({ token: 'cut-cohere', environment: url });
    const events = await collect(await cohere.chatStream(asked, { headers }));
    const last = events.at(-1);
    assert.equal(last.delta.finishReason, 'MAX_TOKENS');
    const text = events.map((event) => event.delta?.message?.content?.text ?? '').join('');
    assert.equal(last.delta.usage.tokens.outputTokens, tokensOf(text));
});

test('a call of a tool ends where the budget does', async () => {
    const long = { ...headers, 'X-Model-Text': 'Q'.repeat(100), 'X-Model-Chunks': '5', 'X-Model-Tool': weather.name,
        'X-Model-Arguments': JSON.stringify({ city: 'Q'.repeat(2000) }), 'X-Model-Tool-Pieces': '100' };
    const client = new OpenAI({ apiKey: 'cut-tool', baseURL: `${url}/v1`, defaultHeaders: long, maxRetries: 0 });
    const stream = client.chat.completions.stream({ ...asked, tools: [{ type: 'function', function: weather }] });
    const { choices: [choice] } = await stream.finalChatCompletion();
    assert.equal(choice.finish_reason, 'length');
    assert.match(choice.message.tool_calls[0].function.arguments, /^\{"city":"Q+$/);
});
