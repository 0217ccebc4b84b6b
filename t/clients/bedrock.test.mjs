import http2 from 'node:http2';

import {
    BedrockRuntimeClient, ConverseCommand, ConverseStreamCommand,
} from '@aws-sdk/client-bedrock-runtime';

import { collect, joinCalls, question, testCounts } from './counts.mjs';
import { testRefusals } from './refusals.mjs';

function asked(tool) {
    return {
        modelId: 'test.model-v1:0',
        messages: [{ role: 'user', content: [{ text: question }] }],
        ...(tool && {
            toolConfig: { tools: [{ toolSpec: {
                name: tool.name,
                description: tool.description,
                inputSchema: { json: tool.parameters },
            } }] },
        }),
    };
}

function callsOfAnswer(answer) {
    return answer.output.message.content
        .flatMap((block) => block.toolUse ?? [])
        .map((call) => ({ name: call.name, arguments: call.input }));
}

function callsOfStream(parts) {
    return joinCalls(parts.flatMap((part) => {
        const start = part.contentBlockStart;
        const delta = part.contentBlockDelta;
        if (start?.start?.toolUse) {
            return [{ index: start.contentBlockIndex, name: start.start.toolUse.name }];
        }
        return delta?.delta?.toolUse
            ? [{ index: delta.contentBlockIndex, text: delta.delta.toolUse.input }] : [];
    }));
}

const sdk = {
    name: 'bedrock',
    protocol: http2,
    connect: ({ url, key }) => new BedrockRuntimeClient({
        endpoint: url,
        region: 'us-east-1',
        credentials: { accessKeyId: key, secretAccessKey: 'secret' },
    }),
    async whole(bedrock, tool) {
        const { $metadata, ...answer } = await bedrock.send(new ConverseCommand(asked(tool)));
        return [answer];
    },
    async stream(bedrock, tool) {
        const { stream } = await bedrock.send(new ConverseStreamCommand(asked(tool)));
        return collect(stream);
    },
    usage(parts) {
        const { usage } = parts.at(-1).metadata ?? parts.at(-1);
        const cached = usage.cacheReadInputTokens;
        return {
            input: usage.inputTokens + cached + usage.cacheWriteInputTokens,
            output: usage.outputTokens,
            cached,
            total: usage.totalTokens,
        };
    },
    calls: (parts) => (parts[0].output ? callsOfAnswer(parts[0]) : callsOfStream(parts)),
};

testCounts(sdk);
testRefusals(sdk, {
    in_2s: 'answered after 2',
    in_30s: 'error after 3',
    in_90s: 'error after 3',
    in_a_day: 'error after 3',
    busy: 'answered after 3',
    never: 'error after 1',
    blocked: 'error after 1',
});
