// Use a back-end through @openeo/js-client; prints a JSON list of {name, outcome, message}.
import { createRequire } from "node:module";
const require = createRequire(process.env.CLIENT_FOLDER + "/");
const { OpenEO } = require("@openeo/js-client");
const [url, user, password] = [process.env.BACKEND_URL, process.env.BACKEND_USER, process.env.BACKEND_PASSWORD];
const extent = { west: 680000, south: 5151500, east: 680100, north: 5151600, crs: "EPSG:32632" };
const dates = ["2022-06-01", "2022-06-03"];
const outcomes = [];
let connection, process_graph, job;

async function check(name, action) {
  try {
    await action();
    outcomes.push({ name, outcome: "passed", message: "" });
  } catch (error) {
    outcomes.push({ name, outcome: "failed", message: String(error.message || error) });
  }
}
function expect(condition, message) {
  if (!condition) throw new Error(message);
}

await check("connect", async () => { connection = await OpenEO.connect(url); });
await check("capabilities", async () => {
  const capabilities = connection.capabilities();
  for (const feature of ["createJob", "startJob", "debugJob", "computeResult", "listProcesses"])
    expect(capabilities.hasFeature(feature), `no feature ${feature}`);
});
await check("authenticate (basic)", async () => {
  const providers = await connection.listAuthProviders();
  await providers.find((p) => p.getType() === "basic").login(user, password);
});
await check("account", async () => { expect((await connection.describeAccount()).user_id === user, "other user"); });
await check("collections", async () => {
  const { collections } = await connection.listCollections();
  expect(collections.some((c) => c.id === "SENTINEL2_L2A"), "no SENTINEL2_L2A");
  const one = await connection.describeCollection("SENTINEL2_L2A");
  expect(one["cube:dimensions"].bands.values.includes("B04"), "no band B04");
});
await check("file formats and UDF runtimes", async () => {
  expect((await connection.listFileTypes()).getOutputType("netCDF"), "no netCDF");
  expect((await connection.listUdfRuntimes()).Python, "no Python");
});
await check("process builder", async () => {
  const builder = await connection.buildProcess("clip");
  const cube = builder.load_collection("SENTINEL2_L2A", extent, dates, ["B04", "B08"]);
  const index = builder.reduce_dimension(cube, function (data) {
    return this.divide(this.subtract(data["B08"], data["B04"]), this.add(data["B08"], data["B04"]));
  }, "bands");
  builder.save_result(builder.apply(index, function (x) { return this.clip(x, 0, 1); }), "GTiff").result = true;
  process_graph = builder.toJSON();
});
await check("validate", async () => {
  const errors = await connection.validateProcess(process_graph);
  expect(errors.length === 0, JSON.stringify(errors));
});
await check("synchronous result", async () => {
  const { data, type } = await connection.computeResult(process_graph);
  expect(type.startsWith("image/tiff"), `media type ${type}`);
  expect((data.size ?? data.length ?? data.readable) !== 0, "empty file");
});
await check("batch job", async () => {
  job = await connection.createJob(process_graph, "from JavaScript");
  await job.startJob();
  for (let i = 0; i < 300 && !["finished", "error"].includes(job.status); i++) {
    await new Promise((resolve) => setTimeout(resolve, 500));
    await job.describeJob();
  }
  expect(job.status === "finished", `status ${job.status}`);
});
await check("logs", async () => {
  const logs = await job.debugJob();
  expect(Array.isArray(logs.logs ?? (await logs.nextLogs())), "no list");
});
await check("results as STAC", async () => {
  const assets = Object.values((await job.getResultsAsStac()).assets);
  expect(assets.length === 1 && assets[0]["proj:epsg"] !== undefined, JSON.stringify(assets));
});
await check("pages of jobs", async () => {
  const before = (await connection.listJobs()).length;
  for (let i = 0; i < 3; i++) await connection.createJob(process_graph, `page ${i}`);
  const pages = connection.paginateJobs(2);
  let [count, turns] = [0, 0];
  while (pages.hasNextPage() && turns++ < 10) count += (await pages.nextPage()).length;
  expect(count === before + 3, `${count} jobs on ${turns} pages, ${before} were there before`);
});
await check("user-defined process", async () => {
  const stored = await connection.setUserProcess("ndvi_clip", process_graph);
  expect((await stored.describeUserProcess()).id === "ndvi_clip", "not stored");
  await stored.deleteUserProcess();
});
await check("delete job", async () => { await job.deleteJob(); });
console.log(JSON.stringify(outcomes));
