// The walk of docs/ui.md: a new user's first hour with an empty lake, in a real browser. Takes the pictures of the docs.
//   npm install --no-save playwright-core
//   node docs/screenshots.mjs                                               the package's sample, under two names
//   node docs/screenshots.mjs MIRROR CC-MAIN-2025-05 CC-MAIN-2025-08        two snapshots of a local mirror
// Needs `make demo`'s environment and a chromium, on the PATH or named by CHROMIUM. It starts its own Dagster, with a
// lake and a state that it deletes at the end, or keeps in WALK where that is set. IMAGES: where to write.
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { chromium } from 'playwright-core';

const images = process.env.IMAGES ?? 'docs/images';
const work = process.env.WALK ? resolve(process.env.WALK) : mkdtempSync(join(tmpdir(), 'walk-'));
const bin = resolve('.venv/bin');
const [mirror, first, second] =
  process.argv.length > 2 ? process.argv.slice(2) : [join(work, 'mirror'), 'CC-MAIN-2000-01', 'CC-MAIN-2000-02'];
assert(second, 'name a mirror and two of its snapshots, or nothing');
const port = process.env.PORT ?? '3917';
const base = `http://127.0.0.1:${port}`;
const env = {
  ...process.env,
  PATH: `${bin}:${process.env.PATH}`,
  DAGSTER_HOME: process.cwd(),
  CURATION_STATE: join(work, 'state'),
  CURATION_SOURCE: resolve(mirror),
  CURATION_LAKE: join(work, 'lake'),
  CURATION_RECIPE: 'fineweb',
  CURATION_RECIPE_SET: '{"extraction.extractor": "resiliparse"}',
  COLUMNS: '120',
};
const python = (...command) => execFileSync(join(bin, 'python'), command, { env, encoding: 'utf8' });
const found = () => execFileSync('sh', ['-c', 'command -v chromium chromium-browser google-chrome | head -1'], { encoding: 'utf8' }).trim();

mkdirSync(env.CURATION_STATE, { recursive: true });
mkdirSync(images, { recursive: true });
if (process.argv.length === 2) python('docs/walk_lake.py', 'mirror', mirror);
const dagster = spawn(join(bin, 'dagster'), ['dev', '-w', 'workspace.yaml', '-h', '127.0.0.1', '-p', port], {
  env, detached: true, stdio: 'ignore',
});
const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? found(), args: ['--no-sandbox'] });
try {
  const page = await browser.newPage({ viewport: { width: 1440, height: 900 } });
  await walk(page).catch(async (error) => {
    await page.screenshot({ path: join(tmpdir(), 'walk-failed.png') });
    throw error;
  });
} finally {
  await browser.close();
  process.kill(-dagster.pid, 'SIGINT');
  await new Promise((ended) => dagster.once('exit', ended));
  if (!process.env.WALK) rmSync(work, { recursive: true, force: true });
}

async function ask(query) {
  const answer = await fetch(`${base}/graphql`, {
    method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify({ query }),
  });
  return (await answer.json()).data;
}

async function until(what, seconds, look) {
  for (const end = Date.now() + 1000 * seconds; Date.now() < end; await sleep(1000)) {
    const seen = await look().catch(() => undefined);
    if (seen) return seen;
  }
  throw new Error(`${what} did not come in ${seconds} s`);
}

async function walk(page) {
  const open = async (path, text) => {
    await page.goto(base + path);
    await page.getByText(text).first().waitFor({ timeout: 60_000 });
    await sleep(2500);
  };
  // A picture is taken only of a page that shows what the walk says.
  const save = async (name, texts, clip) => {
    for (const text of texts) await page.getByText(text).filter({ visible: true }).first().waitFor({ timeout: 30_000 });
    await page.screenshot({ path: `${images}/${name}.png`, clip });
    console.log(`${images}/${name}.png`);
  };
  const judged = encodeURIComponent('type:ASSET_CHECK_EVALUATION');
  const tall = (height, width = 1440) => page.setViewportSize({ width, height });
  const ended = (count) =>
    until(`${count} runs that ended`, 1800, async () => {
      const { runsOrError } = await ask('{ runsOrError(limit: 20) { ... on Runs { results { id status } } } }');
      const runs = runsOrError.results;
      return runs.length === count && runs.every((run) => /SUCCESS|FAILURE|CANCELED/.test(run.status)) && runs;
    });
  const choose = async (button, snapshots) => {
    await page.getByRole('button', { name: button }).first().click();
    const dialog = page.locator('[role=dialog]').last();
    await dialog.getByText('Select a partition or create one').click();
    for (const snapshot of snapshots)
      await page.locator('li, label, a, [role=menuitem]').filter({ hasText: snapshot }).last().click();
    await page.keyboard.press('Escape');
    await sleep(1000);
    return dialog.getByRole('button', { name: /^Launch/ });
  };

  // Dagster is up, and its sensor has found the snapshots of the source.
  await until('the snapshots', 120, async () => {
    const { assetNodeOrError } = await ask(
      '{ assetNodeOrError(assetKey: {path: ["fineweb", "verdicts"]}) { ... on AssetNode { partitionKeys } } }',
    );
    return [first, second].every((snapshot) => assetNodeOrError.partitionKeys.includes(snapshot));
  });

  // 1. The line as a graph: all that the shards are made of.
  await tall(1300, 1700);
  await open('/asset-groups', 'Global asset lineage');
  await page.getByText('Hide navigation').click();
  await page.locator('.CodeMirror').filter({ visible: true }).first().click();
  await page.keyboard.type('+key:"fineweb/training_shards"', { delay: 20 });
  await page.keyboard.press('Enter');
  await page.getByText('Global asset lineage').click();
  await sleep(3000);
  await page.keyboard.press('Alt+e');
  await sleep(2000);
  await page.reload(); // It fits the graph into the window.
  await sleep(6000);
  await save('lineage', ['training_shards'], { x: 365, y: 60, width: 1335, height: 1090 });
  await tall(900);

  // 2. One snapshot.
  await open('/locations/curation_assets.definitions/jobs/curate_snapshot', 'curate_snapshot');
  let launch = await choose(/Materialize/, [first]);
  await save('materialise', ['Launch 1 run']);
  await launch.click();
  let runs = await ended(1);
  assert.equal(runs[0].status, 'SUCCESS');
  await open(`/runs/${runs[0].id}?logs=${judged}`, 'Success');
  await save('run', ['Success']);

  // 3. Both snapshots: the first is up to date.
  await open('/locations/curation_assets.definitions/jobs/backfill_snapshots/partitions', 'Materialize…');
  launch = await choose(/Materialize/, [first, second]);
  await save('backfill', ['Launch backfill']);
  await launch.click();
  runs = await ended(3);
  assert(runs.every((run) => run.status === 'SUCCESS'));
  await open('/runs?view=backfills', '2 partitions');
  await save('backfills', ['Success'], { x: 0, y: 0, width: 1440, height: 260 });

  // 4. A check that fails: a careless program writes a table anew, and what is made from it is made again.
  python('docs/walk_lake.py', 'fault', env.CURATION_LAKE, first);
  await open('/assets/fineweb/corpus', 'corpus');
  launch = await choose(/Materialize/, [first]);
  await launch.click();
  runs = await ended(4);
  assert.equal(runs[0].status, 'FAILURE');
  await tall(1200);
  await open(`/runs/${runs[0].id}?logs=${judged}`, 'Failure');
  await save('failed_run', ['contract_holds', 'language_score']);
  await tall(1400);
  await open('/assets/fineweb/corpus?view=checks&checkDetail=contract_holds', 'contract_holds');
  await save('failed_check', ['language_score is from 0 to 1']);

  // The table is deleted, and the line makes it again, and what is made from it.
  python('docs/walk_lake.py', 'mend', env.CURATION_LAKE, first);
  await tall(900);
  await open('/locations/curation_assets.definitions/jobs/curate_snapshot', 'curate_snapshot');
  launch = await choose(/Materialize/, [first]);
  await launch.click();
  assert.equal((await ended(5))[0].status, 'SUCCESS');

  // 5. Why was a document dropped? What the asset says of the snapshot, and what a terminal says of one page.
  await tall(1500, 1700);
  await open(`/assets/fineweb/verdicts?view=partitions&partition=${first}`, 'dropped_documents');
  await save('verdicts', ['plot.funnel', 'limit'], { x: 0, y: 0, width: 1700, height: 1150 });
  const dropped = page.locator('tr').filter({ hasText: /^(gopher|dup|top|char|line|short)_/ }).filter({ hasText: '://' }).first();
  const url = (await dropped.locator('td').allInnerTexts()).find((cell) => cell.includes('://'));
  console.log(execFileSync(join(bin, 'curation'), ['explain', url, '--snapshot', first], { env, encoding: 'utf8' }));

  // 6. Over the snapshots, and the page about one.
  await open('/assets/fineweb/verdicts', 'Metadata');
  await page.getByRole('button', { name: 'Plots' }).click();
  await sleep(3000);
  await page.getByText('drop_share').first().scrollIntoViewIfNeeded();
  await save('plots', ['drop_share', 'yield']);
  await tall(1100);
  await page.goto(`file://${join(env.CURATION_LAKE, 'fineweb/snapshot_report', first, 'report.html')}`);
  await save('report', ['Funnel', 'Yields']);
}
