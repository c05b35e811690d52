// Sends one rich batch of spans, log records and metrics by every OTLP exporter that JavaScript's SDK has.
//
// ENCODER_GRPC and ENCODER_HTTP are the addresses (host:port) that take it.
import { ROOT_CONTEXT, SpanKind, SpanStatusCode, TraceFlags, createTraceState, trace } from '@opentelemetry/api';
import { SeverityNumber } from '@opentelemetry/api-logs';
import { OTLPLogExporter as GrpcLogs } from '@opentelemetry/exporter-logs-otlp-grpc';
import { OTLPLogExporter as JsonLogs } from '@opentelemetry/exporter-logs-otlp-http';
import { OTLPLogExporter as ProtoLogs } from '@opentelemetry/exporter-logs-otlp-proto';
import { OTLPMetricExporter as GrpcMetrics } from '@opentelemetry/exporter-metrics-otlp-grpc';
import { OTLPMetricExporter as JsonMetrics } from '@opentelemetry/exporter-metrics-otlp-http';
import { OTLPMetricExporter as ProtoMetrics } from '@opentelemetry/exporter-metrics-otlp-proto';
import { OTLPTraceExporter as GrpcTraces } from '@opentelemetry/exporter-trace-otlp-grpc';
import { OTLPTraceExporter as JsonTraces } from '@opentelemetry/exporter-trace-otlp-http';
import { OTLPTraceExporter as ProtoTraces } from '@opentelemetry/exporter-trace-otlp-proto';
import { resourceFromAttributes } from '@opentelemetry/resources';
import { InMemoryLogRecordExporter, LoggerProvider, SimpleLogRecordProcessor } from '@opentelemetry/sdk-logs';
import { AggregationTemporality, AggregationType, MeterProvider, MetricReader } from '@opentelemetry/sdk-metrics';
import { BasicTracerProvider, InMemorySpanExporter, SimpleSpanProcessor } from '@opentelemetry/sdk-trace-base';

const FLOW_RUN_ID = '3c32c202-9955-4b90-b936-5fbd34f1a6d5';

// Every type that an attribute can have; those of log records can be nested too.
const ATTRIBUTES = {
  text: 'grüße, 世界 🚀',
  empty: '',
  flag: true,
  largest: Number.MAX_SAFE_INTEGER,
  smallest: Number.MIN_SAFE_INTEGER,
  small: -3,
  ratio: 0.1,
  texts: ['a', '', 'c'],
  flags: [true, false],
  numbers: [-1, 0, 1],
  ratios: [0.5, -0.25],
};
const NESTED = {
  inner: { depth: 2, bytes: new Uint8Array([0, 0xff, 0x0a, 0x12]), nothing: null },
  mixed: ['x', 3, [true], { deep: 0.5 }],
};

const resource = resourceFromAttributes({
  ...ATTRIBUTES,
  'service.name': 'encoder-js',
  'prefect.flow-run.id': FLOW_RUN_ID,
});

async function spans() {
  const kept = new InMemorySpanExporter();
  const provider = new BasicTracerProvider({ resource, spanProcessors: [new SimpleSpanProcessor(kept)] });
  const tracer = provider.getTracer('scope.one', '1.2.3', {
    schemaUrl: 'https://opentelemetry.io/schemas/1.36.0',
  });
  const remote = {
    traceId: '0123456789abcdef0123456789abcdef',
    spanId: '0123456789abcdef',
    traceFlags: TraceFlags.SAMPLED,
    traceState: createTraceState('vendor=value,other=2'),
    isRemote: true,
  };
  const options = { kind: SpanKind.SERVER, attributes: ATTRIBUTES, links: [{ context: remote, attributes: ATTRIBUTES }] };
  const root = tracer.startSpan('root', options, trace.setSpanContext(ROOT_CONTEXT, remote));
  root.setAttribute('flow_run_id', FLOW_RUN_ID);
  root.addEvent('event', ATTRIBUTES);
  root.recordException(new Error('out of paper'));
  root.setStatus({ code: SpanStatusCode.ERROR, message: 'failed' });
  const context = trace.setSpan(ROOT_CONTEXT, root);
  for (let n = 0; n < 40; n++) {
    const child = provider.getTracer('scope.two').startSpan('child', { kind: SpanKind.PRODUCER }, context);
    child.setStatus({ code: SpanStatusCode.OK });
    child.end();
  }
  root.end();
  await provider.forceFlush();
  return [context, kept.getFinishedSpans()];
}

async function logRecords(context) {
  const kept = new InMemoryLogRecordExporter();
  const processor = new SimpleLogRecordProcessor({ exporter: kept });
  const provider = new LoggerProvider({ resource, processors: [processor] });
  for (const scope of ['log.one', 'log.two']) {
    const logger = provider.getLogger(scope, '0.1');
    const record = {
      timestamp: [1700000000, 123456789],
      severityNumber: SeverityNumber.WARN,
      severityText: 'WARNING',
      eventName: 'load.finished',
      attributes: { ...ATTRIBUTES, nested: NESTED },
    };
    logger.emit({ ...record, body: NESTED, context });
    logger.emit({ ...record, body: 'plain', context: ROOT_CONTEXT });
  }
  await provider.forceFlush();
  return kept.getFinishedLogRecords();
}

class Reader extends MetricReader {
  async onForceFlush() {}
  async onShutdown() {}
  selectAggregationTemporality() {
    return AggregationTemporality.DELTA;
  }
}

async function metrics(context) {
  const reader = new Reader();
  const views = [
    { instrumentName: 'exponential', aggregation: { type: AggregationType.EXPONENTIAL_HISTOGRAM, options: { maxSize: 20 } } },
  ];
  const provider = new MeterProvider({ resource, readers: [reader], views });
  for (const scope of ['meter.one', 'meter.two']) {
    const meter = provider.getMeter(scope);
    meter.createCounter('counter', { unit: '{row}', description: 'rows' }).add(3, ATTRIBUTES, context);
    meter.createUpDownCounter('up_down').add(-1.5, ATTRIBUTES, context);
    meter.createGauge('gauge').record(36.6, ATTRIBUTES, context);
    meter.createObservableGauge('observed').addCallback((result) => result.observe(-7, ATTRIBUTES));
    for (const name of ['histogram', 'exponential']) {
      const histogram = meter.createHistogram(name, { unit: 's' });
      for (const value of [0, 0.001, 1, 12.5, 1e6]) histogram.record(value, ATTRIBUTES, context);
    }
  }
  return (await reader.collect()).resourceMetrics;
}

async function send(exporter, batch) {
  const result = await new Promise((resolve) => exporter.export(batch, resolve));
  if (result.code !== 0) throw result.error ?? new Error(`export failed: ${exporter.constructor.name}`);
  await exporter.shutdown();
}

const { ENCODER_GRPC, ENCODER_HTTP } = process.env;
const [context, traced] = await spans();
const batches = [
  ['traces', traced, GrpcTraces, ProtoTraces, JsonTraces],
  ['logs', await logRecords(context), GrpcLogs, ProtoLogs, JsonLogs],
  ['metrics', await metrics(context), GrpcMetrics, ProtoMetrics, JsonMetrics],
];
for (const [signal, batch, Grpc, Proto, Json] of batches) {
  for (const compression of ['none', 'gzip']) {
    await send(new Grpc({ url: `http://${ENCODER_GRPC}`, compression }), batch);
    for (const Http of [Proto, Json]) {
      await send(new Http({ url: `http://${ENCODER_HTTP}/v1/${signal}`, compression }), batch);
    }
  }
}
