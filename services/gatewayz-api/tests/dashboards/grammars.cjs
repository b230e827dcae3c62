// Parses the queries on stdin, one JSON object {language, query} a line, with Grafana's grammars; prints what is wrong.
const { readFileSync } = require("node:fs");

const parsers = {
  loki: require("@grafana/lezer-logql").parser,
  tempo: require("@grafana/lezer-traceql").parser,
};
const lines = readFileSync(0, "utf8").split("\n").filter(Boolean);
for (const { language, query } of lines.map(JSON.parse)) {
  parsers[language].parse(query).iterate({
    enter(node) {
      if (node.type.isError) console.log(`${language} at ${node.from}: ${query}`);
    },
  });
}
