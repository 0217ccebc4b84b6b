import { Mistral } from '@mistralai/mistralai';

import { collect, joinToolCalls, question, testCounts } from './counts.mjs';
import { neverRetries, testRefusals } from './refusals.mjs';

function asked(tool) {
    return {
        model: 'test-model',
        messages: [{ role: 'user', content: question }],
        ...(tool && { tools: [{ type: 'function', function: tool }] }),
    };
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
    calls: joinToolCalls,
};

testCounts(sdk);
testRefusals(sdk, neverRetries);
