// A way to nginx through this process, the same for every SDK: it adds headers to each request and notes each attempt.

import http from 'node:http';
import http2 from 'node:http2';

// HTTP/2 has its own headers in the place of these.
const OF_HTTP_1 = new Set(['connection', 'host', 'keep-alive', 'transfer-encoding']);

function without(headers, unwanted) {
    return Object.fromEntries(Object.entries(headers).filter(([name]) => !unwanted(name)));
}

// Returns {url, attempts, close}. `to` is where requests go, with a path in front of theirs. `attempts` grows by
// {status, headers, sent, answered} for each request; times are in ms.
// An SDK that speaks HTTP/2 needs `protocol`; requests go on in HTTP/1.1.
export async function openDoor({ to, headers = {}, protocol = http }) {
    const target = new URL(to);
    const attempts = [];
    const server = protocol.createServer((request, response) => {
        const attempt = { sent: performance.now() };
        attempts.push(attempt);
        const onward = http.request({
            host: target.hostname,
            port: target.port,
            path: target.pathname.replace(/\/$/, '') + request.url,
            method: request.method,
            headers: { ...without(request.headers, (name) => name.startsWith(':')), ...headers },
        }, (answer) => {
            Object.assign(attempt, { status: answer.statusCode, headers: answer.headers });
            response.writeHead(answer.statusCode, protocol === http2
                ? without(answer.headers, (name) => OF_HTTP_1.has(name)) : answer.headers);
            answer.pipe(response);
            answer.on('error', () => response.destroy());
            answer.on('end', () => { attempt.answered = performance.now(); });
        });
        onward.on('error', () => response.destroy());
        request.pipe(onward);
    });
    await new Promise((resolve) => { server.listen(0, '127.0.0.1', resolve); });
    return {
        url: `http://127.0.0.1:${server.address().port}`,
        attempts,
        close: () => { server.closeAllConnections?.(); server.close(); },
    };
}
