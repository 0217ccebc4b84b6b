import { Mistral } from '@mistralai/mistralai';

import { collect, joinCalls, question, testCounts } from './counts.mjs';
import { testRefusals } from './refusals.mjs';

function asked(tool) {
    return {
        model: 'test-model',
        messages: [{ role: 'user', content: question }],
        ...(tool && { tools: [{ type: 'function', function: tool }] }),
    };
}

function message(part) {
    const { message: whole, delta } = (part.data ?? part).choices[0] ?? {};
    return whole ?? delta ?? {};
}

const sdk = {
    name: 'mistral',
    wishes: { 'X-Model-Usage': 'last', 'X-Model-Tool-Pieces': '1' },
    withoutUsage: (parts) => parts.map(({ data: { usage, ...data } }) => ({ data })),
    connect: ({ url, key }) => new Mistral({ apiKey: key, serverURL: url }),
    whole: async (mistral, tool) => [await mistral.chat.complete(asked(tool))],
    stream: async (mistral, tool) => collect(await mistral.chat.stream(asked(tool))),
    usage(parts) {
        const { usage } = parts.at(-1).data ?? parts.at(-1);
        return { input: usage.promptTokens, output: usage.completionTokens, total: usage.totalTokens };
    },
    calls: (parts) => joinCalls(parts.flatMap((part) => message(part).toolCalls ?? []).map((call) => ({
        index: call.index,
        name: call.function.name,
        text: call.function.arguments,
    }))),
};

testCounts(sdk);
testRefusals(sdk, {
    in_2s: 'error after 1',
    in_30s: 'error after 1',
    in_90s: 'error after 1',
    in_a_day: 'error after 1',
    busy: 'error after 1',
    never: 'error after 1',
    blocked: 'error after 1',
});
