import io.opentelemetry.api.common.AttributeKey;
import io.opentelemetry.api.common.Attributes;
import io.opentelemetry.api.common.AttributesBuilder;
import io.opentelemetry.api.common.Value;
import io.opentelemetry.api.logs.Severity;
import io.opentelemetry.api.trace.Span;
import io.opentelemetry.api.trace.SpanContext;
import io.opentelemetry.api.trace.SpanKind;
import io.opentelemetry.api.trace.StatusCode;
import io.opentelemetry.api.trace.TraceFlags;
import io.opentelemetry.api.trace.TraceState;
import io.opentelemetry.context.Context;
import io.opentelemetry.exporter.otlp.http.logs.OtlpHttpLogRecordExporter;
import io.opentelemetry.exporter.otlp.http.metrics.OtlpHttpMetricExporter;
import io.opentelemetry.exporter.otlp.http.trace.OtlpHttpSpanExporter;
import io.opentelemetry.exporter.otlp.logs.OtlpGrpcLogRecordExporter;
import io.opentelemetry.exporter.otlp.metrics.OtlpGrpcMetricExporter;
import io.opentelemetry.exporter.otlp.trace.OtlpGrpcSpanExporter;
import io.opentelemetry.sdk.common.CompletableResultCode;
import io.opentelemetry.sdk.logs.SdkLoggerProvider;
import io.opentelemetry.sdk.logs.data.LogRecordData;
import io.opentelemetry.sdk.logs.export.SimpleLogRecordProcessor;
import io.opentelemetry.sdk.metrics.Aggregation;
import io.opentelemetry.sdk.metrics.ExemplarFilter;
import io.opentelemetry.sdk.metrics.InstrumentSelector;
import io.opentelemetry.sdk.metrics.SdkMeterProvider;
import io.opentelemetry.sdk.metrics.View;
import io.opentelemetry.sdk.metrics.data.MetricData;
import io.opentelemetry.sdk.resources.Resource;
import io.opentelemetry.sdk.testing.exporter.InMemoryLogRecordExporter;
import io.opentelemetry.sdk.testing.exporter.InMemoryMetricReader;
import io.opentelemetry.sdk.testing.exporter.InMemorySpanExporter;
import io.opentelemetry.sdk.trace.SdkTracerProvider;
import io.opentelemetry.sdk.trace.data.SpanData;
import io.opentelemetry.sdk.trace.export.SimpleSpanProcessor;
import java.util.Collection;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;

/**
 * Sends one rich batch of spans, log records and metrics by every OTLP exporter that Java's SDK has.
 *
 * <p>ENCODER_GRPC and ENCODER_HTTP are the addresses (host:port) that take it.
 */
public final class Emit {
  private static final String FLOW_RUN_ID = "3c32c202-9955-4b90-b936-5fbd34f1a6d5";

  private static final Value<?> NESTED =
      Value.of(
          Map.of(
              "inner", Value.of(Map.of("depth", Value.of(2), "bytes", Value.of(new byte[] {0, -1, 10, 18}))),
              "mixed", Value.of(Value.of("x"), Value.of(3), Value.of(Value.of(true)), Value.empty())));

  /** Every type that an attribute can have. */
  private static final Attributes ATTRIBUTES =
      Attributes.builder()
          .put("text", "grüße, 世界 🚀")
          .put("empty", "")
          .put("flag", true)
          .put("largest", Long.MAX_VALUE)
          .put("smallest", Long.MIN_VALUE)
          .put("ratio", 0.1)
          .put("infinite", Double.POSITIVE_INFINITY)
          .put("texts", "a", "", "c")
          .put("flags", true, false)
          .put("numbers", -1, 0, 1)
          .put("ratios", 0.5, -0.25)
          .put(AttributeKey.valueKey("bytes"), Value.of(new byte[] {0, -1, 10, 18}))
          .put(AttributeKey.valueKey("nested"), NESTED)
          .build();

  private static final Resource RESOURCE =
      Resource.create(
          with("service.name", "encoder-java").put("prefect.flow-run.id", FLOW_RUN_ID).build(),
          "https://opentelemetry.io/schemas/1.37.0");

  private static AttributesBuilder with(String key, String value) {
    return ATTRIBUTES.toBuilder().put(key, value);
  }

  private static Context traceInto(InMemorySpanExporter kept) {
    SdkTracerProvider provider =
        SdkTracerProvider.builder()
            .setResource(RESOURCE)
            .addSpanProcessor(SimpleSpanProcessor.create(kept))
            .build();
    SpanContext remote =
        SpanContext.createFromRemoteParent(
            "0123456789abcdef0123456789abcdef",
            "0123456789abcdef",
            TraceFlags.getSampled(),
            TraceState.builder().put("vendor", "value").put("other", "2").build());
    Span root =
        provider
            .tracerBuilder("scope.one")
            .setInstrumentationVersion("1.2.3")
            .setSchemaUrl("https://opentelemetry.io/schemas/1.36.0")
            .build()
            .spanBuilder("root")
            .setParent(Context.root().with(Span.wrap(remote)))
            .setSpanKind(SpanKind.SERVER)
            .setAllAttributes(with("flow_run_id", FLOW_RUN_ID).build())
            .addLink(remote, ATTRIBUTES)
            .startSpan();
    root.addEvent("event", ATTRIBUTES);
    root.recordException(new IllegalStateException("out of paper"));
    root.setStatus(StatusCode.ERROR, "failed");
    Context context = Context.root().with(root);
    for (int n = 0; n < 40; n++) {
      provider
          .get("scope.two")
          .spanBuilder("child")
          .setParent(context)
          .setSpanKind(SpanKind.PRODUCER)
          .startSpan()
          .setStatus(StatusCode.OK)
          .end();
    }
    root.end();
    return context;
  }

  private static void logInto(InMemoryLogRecordExporter kept, Context context) {
    SdkLoggerProvider provider =
        SdkLoggerProvider.builder()
            .setResource(RESOURCE)
            .addLogRecordProcessor(SimpleLogRecordProcessor.create(kept))
            .build();
    for (String scope : List.of("log.one", "log.two")) {
      for (Value<?> body : List.of(NESTED, Value.of("plain"))) {
        provider
            .loggerBuilder(scope)
            .setInstrumentationVersion("0.1")
            .build()
            .logRecordBuilder()
            .setTimestamp(1700000000123456789L, TimeUnit.NANOSECONDS)
            .setSeverity(Severity.WARN)
            .setSeverityText("WARNING")
            .setEventName("load.finished")
            .setBody(body)
            .setAllAttributes(ATTRIBUTES)
            .setContext(context)
            .emit();
      }
    }
  }

  private static Collection<MetricData> metrics(Context context) {
    InMemoryMetricReader reader = InMemoryMetricReader.createDelta();
    SdkMeterProvider provider =
        SdkMeterProvider.builder()
            .setResource(RESOURCE)
            .registerMetricReader(reader)
            .setExemplarFilter(ExemplarFilter.alwaysOn())
            .registerView(
                InstrumentSelector.builder().setName("exponential").build(),
                View.builder().setAggregation(Aggregation.base2ExponentialBucketHistogram(20, 20)).build())
            .build();
    for (String scope : List.of("meter.one", "meter.two")) {
      var meter = provider.get(scope);
      meter
          .counterBuilder("counter")
          .setUnit("{row}")
          .setDescription("rows")
          .build()
          .add(3, ATTRIBUTES, context);
      meter.upDownCounterBuilder("up_down").ofDoubles().build().add(-1.5, ATTRIBUTES, context);
      meter.gaugeBuilder("gauge").build().set(36.6, ATTRIBUTES, context);
      meter.gaugeBuilder("observed").ofLongs().buildWithCallback(point -> point.record(-7, ATTRIBUTES));
      for (String name : List.of("histogram", "exponential")) {
        var histogram = meter.histogramBuilder(name).setUnit("s").build();
        for (double value : new double[] {0, 0.001, 1, 12.5, 1e6}) {
          histogram.record(value, ATTRIBUTES, context);
        }
      }
    }
    return reader.collectAllMetrics();
  }

  private static void check(CompletableResultCode result) {
    if (!result.join(10, TimeUnit.SECONDS).isSuccess()) {
      throw new IllegalStateException("not exported", result.getFailureThrowable());
    }
  }

  /** Sends everything. */
  public static void main(String[] arguments) {
    InMemorySpanExporter traced = InMemorySpanExporter.create();
    Context context = traceInto(traced);
    List<SpanData> spans = traced.getFinishedSpanItems();
    InMemoryLogRecordExporter logged = InMemoryLogRecordExporter.create();
    logInto(logged, context);
    List<LogRecordData> records = logged.getFinishedLogRecordItems();
    Collection<MetricData> metrics = metrics(context);

    String grpc = "http://" + System.getenv("ENCODER_GRPC");
    String http = "http://" + System.getenv("ENCODER_HTTP") + "/v1/";
    for (String compression : List.of("none", "gzip")) {
      check(OtlpGrpcSpanExporter.builder().setEndpoint(grpc).setCompression(compression).build().export(spans));
      check(OtlpGrpcLogRecordExporter.builder().setEndpoint(grpc).setCompression(compression).build().export(records));
      check(OtlpGrpcMetricExporter.builder().setEndpoint(grpc).setCompression(compression).build().export(metrics));
      check(OtlpHttpSpanExporter.builder().setEndpoint(http + "traces").setCompression(compression).build().export(spans));
      check(OtlpHttpLogRecordExporter.builder().setEndpoint(http + "logs").setCompression(compression).build().export(records));
      check(OtlpHttpMetricExporter.builder().setEndpoint(http + "metrics").setCompression(compression).build().export(metrics));
    }
    System.exit(0); // OkHttp's threads would stay for a minute
  }
}
