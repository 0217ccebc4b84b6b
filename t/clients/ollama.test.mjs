import { Ollama } from 'ollama';

import { collect, question, testCounts } from './counts.mjs';
import { testRefusals } from './refusals.mjs';

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
testRefusals(sdk, {
    in_2s: 'error after 1',
    in_30s: 'error after 1',
    in_90s: 'error after 1',
    in_a_day: 'error after 1',
    busy: 'error after 1',
    never: 'error after 1',
    blocked: 'error after 1',
});
