// The page of ai_limit_api in Chromium. The page itself always comes from nginx, at BASE_URL, with its headers. The
// answers that it asks for come from there too, or from a MockApi, if a test wants a state that nginx does not get into
// by itself.

import assert from 'node:assert/strict';
import { after } from 'node:test';

import { chromium } from 'playwright-core';

export const BASE = process.env.BASE_URL;
const WAIT = { timeout: Number(process.env.AI_LIMIT_PATIENCE ?? 20) * 1000 };

const browser = await chromium.launch({
    executablePath: process.env.CHROMIUM,
    args: ['--no-sandbox', '--disable-dev-shm-usage'],
});
after(() => browser.close());

/**
 * Runs `use(page, api)` on an open page. Fails where the page caused an error or a violation of its policy, or asked
 * another origin for anything. `api` is null where nginx answers. Options are those of a browser's context, and
 * `before`: a script that runs in the page before its own. The page's clock goes faster where a test waits.
 */
export async function withPage(api, { before, ...options }, use) {
    const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, timezoneId: 'Asia/Seoul', ...options });
    const page = await context.newPage();
    await page.clock.install();
    page.setDefaultTimeout(WAIT.timeout);
    const faults = [];
    page.on('pageerror', error => faults.push(String(error)));
    page.on('console', message => {
        // Chromium reports any answer that is no success in these words.
        if (message.type() !== 'log' && !/^Failed to load resource/.test(message.text())) {
            faults.push(message.text());
        }
    });
    page.on('request', request => {
        if (!request.url().startsWith(`${BASE}/`) && !request.url().startsWith('data:')) {
            faults.push(`it asks for ${request.url()}`);
        }
    });
    await page.addInitScript(() => addEventListener('securitypolicyviolation', event => console.error('violation', event.violatedDirective)));
    if (before) {
        await page.addInitScript(before);
    }
    await api?.stand(page, BASE);
    await page.goto(`${BASE}/`);
    await page.waitForSelector('[data-state=live], [data-state=stale]');
    await use(page, api);
    await context.close();
    assert.deepEqual(faults, []);
}

export const exact = async locator => Number((await locator.getAttribute('title')).replaceAll(',', ''));
export const stat = (page, policy, label) => page.locator(`[data-policy="${policy}"] [data-stat="${label}"] b`);
export const fact = (part, label) => part.locator('dl.facts > div', { hasText: label }).locator('dd');

/** Waits until `check()` holds, while the page's clock goes on by half a second each time. */
export async function eventually(page, check, what) {
    const deadline = Date.now() + WAIT.timeout;
    while (!(await check())) {
        assert.ok(Date.now() < deadline, `waited in vain for ${what}`);
        await page.clock.runFor(500);
    }
}

export function shows(locator, text) {
    return eventually(locator.page(), async () => (await locator.textContent()).includes(text), `"${text}"`);
}

export async function lookUp(page, key) {
    await page.fill('#find-key', key);
    await page.press('#find-key', 'Enter');
}
