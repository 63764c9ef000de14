// What axe finds on pages: axe http://app:8080/ http://app:8080/about > axe.json
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import puppeteer from "puppeteer-core";

const source = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const browser = await puppeteer.launch({
  executablePath: process.env.CHROME_PATH,
  args: ["--no-sandbox", "--disable-dev-shm-usage"],
});
const found = [];
for (const url of process.argv.slice(2)) {
  const page = await browser.newPage();
  // The page's own policy would keep axe out.
  await page.setBypassCSP(true);
  const reply = await page.goto(url, { waitUntil: "load" });
  if (!reply.ok()) throw new Error(`${url} answers with ${reply.status()}`);
  await page.evaluate(source);
  const tags = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"];
  found.push(await page.evaluate((tags) => axe.run({ runOnly: tags }), tags));
  await page.close();
}
await browser.close();
console.log(JSON.stringify(found));
