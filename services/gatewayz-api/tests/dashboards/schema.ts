// A dashboard as JSON, put together from the types of Grafana's SDK: enumerations as their values, nothing unnamed.
import type { Dashboard as Whole, FieldConfig, Panel, RowPanel } from "@grafana/grafana-foundation-sdk/dashboard";
import type { Options as Gauge } from "@grafana/grafana-foundation-sdk/gauge";
import type { Options as Logs } from "@grafana/grafana-foundation-sdk/logs";
import type { dataquery as LogQl } from "@grafana/grafana-foundation-sdk/loki";
import type { Dataquery as PromQl } from "@grafana/grafana-foundation-sdk/prometheus";
import type { Options as Stat } from "@grafana/grafana-foundation-sdk/stat";
import type { FieldConfig as TableFields, Options as Table } from "@grafana/grafana-foundation-sdk/table";
import type { Dataquery as TraceQl } from "@grafana/grafana-foundation-sdk/tempo";
import type { FieldConfig as SeriesFields, Options as Series } from "@grafana/grafana-foundation-sdk/timeseries";

type Json<T> = 0 extends 1 & T
  ? unknown
  : T extends string
    ? `${T}`
    : T extends readonly (infer Item)[]
      ? Json<Item>[]
      : T extends object
        ? { [Key in keyof T as T[Key] extends () => void ? never : Key]: Json<T[Key]> }
        : T;

interface Plugins {
  gauge: { options: Gauge; fields: Record<string, never> };
  logs: { options: Logs; fields: Record<string, never> };
  stat: { options: Stat; fields: Record<string, never> };
  table: { options: Table; fields: TableFields };
  timeseries: { options: Series; fields: SeriesFields };
  // The SDK has no types of this plugin, which has no options.
  traces: { options: Record<string, never>; fields: Record<string, never> };
}

type Fields<Custom> = Omit<Json<FieldConfig>, "custom"> & { custom?: Json<Custom> };

type Shown<Kind extends keyof Plugins> = Omit<Json<Panel>, "type" | "options" | "fieldConfig" | "targets"> & {
  type: Kind;
  // Grafana adds what is left out.
  options: Partial<Json<Plugins[Kind]["options"]>>;
  fieldConfig: Omit<Json<NonNullable<Panel["fieldConfig"]>>, "defaults"> & {
    defaults: Fields<Partial<Plugins[Kind]["fields"]>>;
  };
  // Each is checked by itself, by the kind of its data source.
  targets: unknown[];
};

export type Dashboard = Omit<Json<Whole>, "panels"> & {
  panels: (Json<RowPanel> | { [Kind in keyof Plugins]: Shown<Kind> }[keyof Plugins])[];
};

export interface Targets {
  loki: Json<LogQl>;
  prometheus: Json<PromQl>;
  tempo: Json<TraceQl>;
}
