import { OpenRouter } from '@openrouter/sdk';

import { collect, joinCalls, question, testCounts } from './counts.mjs';
import { testRefusals } from './refusals.mjs';

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

function message(part) {
    const { message: whole, delta } = part.choices[0] ?? {};
    return whole ?? delta ?? {};
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
