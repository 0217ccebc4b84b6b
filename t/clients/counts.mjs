// Requirements for every SDK behind an nginx that counts tokens: the SDK gets what the upstream sent, and the usage
// that it reports is the usage that nginx has counted.
//
// An SDK is {name, connect, whole, stream, usage, calls}:
//   connect({url, key})       returns a client
//   protocol                  http2, if the SDK speaks it without TLS
//   whole(client, tool)       asks for an answer, with this tool if there is one; returns a list of one answer
//   stream(client, tool)      the same for a stream: a list of its parts
//   usage(parts)              {input, output, cached, total}, without those that the SDK does not report
//   calls(parts)              the calls of tools: [{name, arguments}], arguments as data
// and, where the API tells the usage of a stream without being asked:
//   wishes                    headers that have the model server do that
//   withoutUsage(parts)       what a client sees of a stream that nginx, and not the client, has asked for usage

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { baseUrl } from './attempts.mjs';
import { counted, countedRequest } from './counted.mjs';
import { openDoor } from './door.mjs';

export const question = 'What is the weather in Paris?';

export const weather = {
    name: 'weather',
    description: 'Tells the weather of the next days',
    parameters: {
        type: 'object',
        properties: { city: { type: 'string' }, days: { type: 'integer' }, usage: { type: 'object' } },
        required: ['city'],
    },
};

// Returns all that can be compared, without what makes two equal answers differ.
function plain(parts) {
    return JSON.parse(JSON.stringify(parts));
}

async function ask(sdk, how, tool, to, headers) {
    const wishes = { ...headers, ...sdk.wishes, ...(tool && { 'X-Model-Tool': tool.name }) };
    const door = await openDoor({ to, headers: wishes, protocol: sdk.protocol });
    try {
        return await sdk[how](sdk.connect({ url: door.url, key: `${sdk.name}-counts` }), tool);
    } finally {
        door.close();
    }
}

async function assertCounts(sdk, how, tool, location) {
    const { id, headers } = countedRequest();
    const parts = await ask(sdk, how, tool, baseUrl(location), headers);
    const direct = await ask(sdk, how, tool, process.env.MODEL_URL, headers);
    const hides = how === 'stream' && location === '/tokens' && sdk.withoutUsage;
    const expected = hides ? sdk.withoutUsage(plain(direct)) : plain(direct);
    assert.deepEqual(plain(parts), expected, 'nginx changes nothing that the client sees');
    const reported = sdk.usage(hides ? direct : parts);
    const known = await counted(id);
    assert.deepEqual({ ...known, ...reported }, known, 'nginx has counted what the client reports');
    assert.equal(known.input, Number(headers['X-Model-Prompt-Tokens']), 'and what the model server has said');
    return sdk.calls(parts);
}

export function testCounts(sdk) {
    for (const [how, what] of [['whole', 'an answer'], ['stream', 'a stream']]) {
        for (const [location, asks] of [['/tokens', 'on'], ['/unasked', 'off']]) {
            test(`${sdk.name} reports the counted tokens of ${what}, include_usage ${asks}`, async () => {
                assert.deepEqual(await assertCounts(sdk, how, undefined, location), []);
            });
        }
        test(`${sdk.name} gets a tool call of ${what} unchanged`, async () => {
            const [call, ...others] = await assertCounts(sdk, how, weather, '/tokens');
            assert.equal(call.name, 'weather');
            assert.equal(call.arguments.city, 'Paris');
            assert.equal(call.arguments.usage.prompt_tokens, 1, 'arguments that look like usage are left alone');
            assert.deepEqual(others, []);
        });
    }
}

// The parts of an async iterable.
export async function collect(stream) {
    const parts = [];
    for await (const part of stream) {
        parts.push(part);
    }
    return parts;
}

// Calls of tools that come in pieces, each with its index and a piece of the arguments as text.
export function joinCalls(pieces) {
    const calls = [];
    for (const { index = 0, name, text } of pieces) {
        calls[index] ??= { name: '', text: '' };
        calls[index].name += name ?? '';
        calls[index].text += text ?? '';
    }
    return calls.filter(Boolean).map((call) => ({ name: call.name, arguments: JSON.parse(call.text || '{}') }));
}

// Joins the calls of tools in answers or pieces of a stream that have the shape of OpenAI's, in camel case.
export function joinToolCalls(parts) {
    const messages = parts.map((part) => (part.data ?? part).choices[0]).map((choice) => choice?.message ?? choice?.delta);
    return joinCalls(messages.flatMap((message) => message?.toolCalls ?? []).map((call) => ({
        index: call.index,
        name: call.function.name,
        text: call.function.arguments,
    })));
}
