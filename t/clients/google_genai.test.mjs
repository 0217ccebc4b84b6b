import { GoogleGenAI } from '@google/genai';

import { collect, question, testCounts } from './counts.mjs';
import { testRefusals } from './refusals.mjs';

function asked(tool) {
    return {
        model: 'test-model',
        contents: question,
        ...(tool && {
            config: {
                tools: [{ functionDeclarations: [{
                    name: tool.name,
                    description: tool.description,
                    parametersJsonSchema: tool.parameters,
                }] }],
            },
        }),
    };
}

// Returns an answer without the transport's own headers, such as the time of the answer.
function answer({ sdkHttpResponse, ...rest }) {
    return rest;
}

const sdk = {
    name: 'google-genai',
    connect: ({ url, key }) => new GoogleGenAI({ apiKey: key, httpOptions: { baseUrl: url } }),
    whole: async (google, tool) => [answer(await google.models.generateContent(asked(tool)))],
    stream: async (google, tool) => (await collect(await google.models.generateContentStream(asked(tool)))).map(answer),
    usage(parts) {
        const usage = parts.at(-1).usageMetadata;
        return {
            input: usage.promptTokenCount,
            output: usage.candidatesTokenCount,
            cached: usage.cachedContentTokenCount,
            total: usage.totalTokenCount,
        };
    },
    calls: (parts) => parts
        .flatMap((part) => part.candidates[0].content.parts)
        .flatMap((part) => part.functionCall ?? [])
        .map((call) => ({ name: call.name, arguments: call.args })),
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
