import { OpenRouter } from '@openrouter/sdk';

import { collect, joinToolCalls, question, testCounts } from './counts.mjs';
import { neverRetries, testRefusals } from './refusals.mjs';

function asked(tool, stream) {
    return {
        chatRequest: {
            model: 'test-model',
            messages: [{ role: 'user', content: question }],
            stream,
            ...(tool && { tools: [{ type: 'function', function: tool }] }),
        },
    };
}

const sdk = {
    name: 'openrouter',
    wishes: { 'X-Model-Usage': 'always' },
    withoutUsage: (parts) => parts.filter((part) => !part.usage),
    connect: ({ url, key }) => new OpenRouter({ apiKey: key, serverURL: `${url}/v1` }),
    whole: async (openrouter, tool) => [await openrouter.chat.send(asked(tool, false))],
    stream: async (openrouter, tool) => collect(await openrouter.chat.send(asked(tool, true))),
    usage(parts) {
        const { usage } = parts.at(-1);
        return {
            input: usage.promptTokens,
            output: usage.completionTokens,
            cached: usage.promptTokensDetails.cachedTokens,
            total: usage.totalTokens,
        };
    },
    calls: joinToolCalls,
};

testCounts(sdk);
testRefusals(sdk, neverRetries);
