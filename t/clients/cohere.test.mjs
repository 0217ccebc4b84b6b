import { CohereClientV2 } from 'cohere-ai';

import { collect, joinCalls, question, testCounts } from './counts.mjs';
import { testRefusals } from './refusals.mjs';

function asked(tool) {
    return {
        model: 'test-model',
        messages: [{ role: 'user', content: question }],
        ...(tool && { tools: [{ type: 'function', function: tool }] }),
    };
}

const sdk = {
    name: 'cohere',
    connect: ({ url, key }) => new CohereClientV2({ token: key, environment: url }),
    whole: async (cohere, tool) => [await cohere.chat(asked(tool))],
    stream: async (cohere, tool) => collect(await cohere.chatStream(asked(tool))),
    usage(parts) {
        const { tokens } = (parts.at(-1).delta ?? parts.at(-1)).usage;
        return { input: tokens.inputTokens, output: tokens.outputTokens };
    },
    calls: (parts) => joinCalls(parts
        .flatMap((part) => (part.message ?? part.delta?.message)?.toolCalls ?? [])
        .map((call) => ({ name: call.function.name, text: call.function.arguments }))),
};

testCounts(sdk);
testRefusals(sdk, {
    in_2s: 'answered after 2',
    in_30s: 'answered after 2',
    in_90s: 'answered after 3',
    in_a_day: 'error after 3',
    busy: 'answered after 3',
    never: 'error after 1',
    blocked: 'error after 1',
});
