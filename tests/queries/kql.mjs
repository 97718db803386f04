// Parses and type-checks queries with Microsoft's own language service, against the columns of the tables.
//
//     node tests/queries/kql.mjs FOLDER_OF_NODE_MODULES < queries.json
//
// Standard input is {name: query}, standard output {name: {faults: [text], columns: [name]}}.

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";

// Columns of these tables that Microsoft documents.
const TABLES = {
  customEvents:
    "(timestamp: datetime, name: string, itemType: string, customDimensions: dynamic, customMeasurements: dynamic, " +
    "operation_Id: string, session_Id: string, user_Id: string, application_Version: string, client_OS: string, " +
    "cloud_RoleName: string, cloud_RoleInstance: string, sdkVersion: string, itemId: string, itemCount: int)",
  AppEvents:
    "(TimeGenerated: datetime, Name: string, Properties: dynamic, Measurements: dynamic, OperationId: string, " +
    "SessionId: string, UserId: string, AppVersion: string, ClientOS: string, AppRoleName: string, " +
    "AppRoleInstance: string, SDKVersion: string, ItemCount: int, Type: string)",
};

const require = createRequire(join(process.argv[2], "of-this-folder.js"));
require("@kusto/language-service-next/bridge.min.js");
require("@kusto/language-service-next/Kusto.Language.Bridge.min.js");
const { Language } = globalThis.Kusto;

const list = (found) => Array.from({ length: found?.Count ?? 0 }, (_, i) => found.getItem(i));
const tables = Object.entries(TABLES).map(
  ([name, columns]) => new Language.Symbols.TableSymbol.$ctor7(name, columns, null),
);
const database = new Language.Symbols.DatabaseSymbol.ctor("usage", tables);
const globals = Language.GlobalState.Default.WithDatabase(database);

function check(query) {
  const code = Language.KustoCode.ParseAndAnalyze(query, globals);
  const line = (offset) => query.slice(0, offset).split("\n").length;
  return {
    faults: list(code.GetDiagnostics()).map((found) => `line ${line(found.Start)}: ${found.Message}`),
    columns: list(code.ResultType?.Columns).map((column) => column.Name),
  };
}

const queries = Object.entries(JSON.parse(readFileSync(0, "utf8")));
console.log(JSON.stringify(Object.fromEntries(queries.map(([name, query]) => [name, check(query)]))));
