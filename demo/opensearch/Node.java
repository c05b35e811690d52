import org.codelibs.opensearch.runner.OpenSearchRunner;

/**
 * One OpenSearch node that also runs ingest pipelines: the runner's own main class gives its nodes no
 * such role. Compiled once, when the jars are fetched.
 */
public final class Node {
    private Node() {}

    /** Takes the runner's own arguments (-basePath, -baseHttpPort, ...) and runs until it is ended. */
    public static void main(String[] arguments) throws InterruptedException {
        OpenSearchRunner runner = new OpenSearchRunner();
        runner.onBuild((number, settings) ->
            settings.putList("node.roles", "cluster_manager", "data", "ingest"));
        Runtime.getRuntime().addShutdownHook(new Thread(() -> {
            try {
                runner.close();
            } catch (java.io.IOException ignored) {
                // The process is ending, and its data folder goes with the run.
            }
        }));
        runner.build(arguments);
        Thread.currentThread().join();
    }
}
