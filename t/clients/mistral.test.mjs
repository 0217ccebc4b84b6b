import { Mistral } from '@mistralai/mistralai';

import { collect, joinCalls, question, testCounts } from './counts.mjs';

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

testCounts({
    name: 'mistral',
    wishes: { 'X-Model-Usage': 'last', 'X-Model-Nulls': '0', 'X-Model-Tool-Pieces': '1' },
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
});
