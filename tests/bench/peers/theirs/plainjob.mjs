// plainjob on better-sqlite3 as its README shows it, with a logger that is silent (faster).
import { renameSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { hrtime } from "node:process";
import { pathToFileURL } from "node:url";

const require = createRequire(`${process.cwd()}/`);
const load = async (name) => import(pathToFileURL(require.resolve(name)));
const { default: Database } = await load("better-sqlite3");
const { better, defineQueue, defineWorker } = await load("plainjob");

const jobs = Number(process.env.BENCH_JOBS);
const marks = process.env.BENCH_MARKS;
const silent = { error() {}, warn() {}, info() {}, debug() {} };
const connection = better(new Database(process.env.BENCH_STORE));
const queue = defineQueue({ connection, logger: silent });

if (process.argv[2] === "declare") {
  queue.addMany("noop", Array.from({ length: jobs }, (_, n) => ({ n })));
  queue.close();
} else {
  let seen = 0;
  let first = 0n;
  const body = async () => {
    seen += 1;
    if (seen === 1) first = hrtime.bigint();
    if (seen === jobs) {
      writeFileSync(`${marks}~`, `${first} ${hrtime.bigint()}`);
      renameSync(`${marks}~`, marks);
    }
  };
  defineWorker("noop", body, { queue, logger: silent }).start();
}
