// Launch a two-snapshot backfill in the UI as a person would, wait for it, and take the README's pictures.
//   npm install playwright-core; make dev &; node docs/screenshots.mjs CC-MAIN-2025-05 CC-MAIN-2025-08
// Needs Debian's chromium. UI=http://... names another address.
import { chromium } from 'playwright-core';

const base = process.env.UI ?? 'http://127.0.0.1:3000';
const snapshots = process.argv.slice(2);
const browser = await chromium.launch({ executablePath: '/usr/bin/chromium', args: ['--no-sandbox'] });
const page = await browser.newPage({ viewport: { width: 1440, height: 900 } });
const open = async (path) => {
  await page.goto(base + path);
  await page.waitForTimeout(5000);
};
const save = (name, clip) => page.screenshot({ path: `docs/images/${name}.png`, clip });

await open('/locations/curation_assets.definitions/jobs/backfill_snapshots/partitions');
await page.getByText('Materialize…').click();
await page.locator('[role=dialog]').getByText('Select a partition or create one').click();
for (const snapshot of snapshots) await page.locator('li, label, a, [role=menuitem]').filter({ hasText: snapshot }).last().click();
await page.keyboard.press('Escape');
await page.waitForTimeout(1000);
await save('backfill');
await page.getByRole('button', { name: 'Launch backfill' }).click();
await page.waitForTimeout(3000);

const query = '{ partitionBackfillsOrError(limit: 1) { ... on PartitionBackfills { results { status } } } }';
for (let status = ''; status !== 'COMPLETED_SUCCESS'; await page.waitForTimeout(3000)) {
  const answer = await fetch(`${base}/graphql`, {
    method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify({ query }),
  });
  status = (await answer.json()).data.partitionBackfillsOrError.results[0].status;
  if (/FAILED|CANCELED/.test(status)) throw new Error(`the backfill ended as ${status}`);
}

await open('/runs?view=backfills');
await save('backfills');
await page.setViewportSize({ width: 1440, height: 1600 });
await open(`/assets/fineweb/verdicts?view=partitions&partition=${snapshots[0]}`);
await save('verdicts', { x: 240, y: 140, width: 1200, height: 900 });
await page.setViewportSize({ width: 1700, height: 900 });
await open('/asset-groups');
await page.getByText('Hide navigation').click();
await page.keyboard.press('Alt+e');
await page.waitForTimeout(3000);
await save('lineage', { x: 380, y: 200, width: 1320, height: 520 });
await browser.close();
