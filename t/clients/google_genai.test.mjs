import { GoogleGenAI } from '@google/genai';

import { collect, question, testCounts } from './counts.mjs';
import { neverRetries, testRefusals } from './refusals.mjs';

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
testRefusals(sdk, neverRetries);
