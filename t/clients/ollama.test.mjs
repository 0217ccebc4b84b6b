import { Ollama } from 'ollama';

import { collect, question, testCounts } from './counts.mjs';
import { neverRetries, testRefusals } from './refusals.mjs';

function asked(tool, stream) {
    return {
        model: 'test-model',
        messages: [{ role: 'user', content: question }],
        stream,
        ...(tool && { tools: [{ type: 'function', function: tool }] }),
    };
}

const sdk = {
    name: 'ollama',
    connect: ({ url, key }) => new Ollama({ host: url, headers: { Authorization: `Bearer ${key}` } }),
    whole: async (ollama, tool) => [await ollama.chat(asked(tool, false))],
    stream: async (ollama, tool) => collect(await ollama.chat(asked(tool, true))),
    usage: (parts) => ({ input: parts.at(-1).prompt_eval_count, output: parts.at(-1).eval_count }),
    calls: (parts) => parts
        .flatMap((part) => part.message.tool_calls ?? [])
        .map((call) => ({ name: call.function.name, arguments: call.function.arguments })),
};

testCounts(sdk);
testRefusals(sdk, neverRetries);
