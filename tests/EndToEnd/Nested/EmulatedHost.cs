using Paravane.Peers;

namespace Paravane.EndToEnd.Nested;

/// <summary>Runs a test on an emulated host. One that fell over by itself proves nothing about its guests: the test has one more.</summary>
internal static class EmulatedHost
{
    private const int Hosts = 2;

    /// <summary>Runs <paramref name="body"/> on a host with Paravane's programs.</summary>
    public static void Try(Action<NestedHost> body) => Try(scratch => new NestedHost(scratch), body);

    /// <summary>Runs <paramref name="body"/> on the host that <paramref name="boot"/> makes.</summary>
    public static void Try(Func<TemporaryDirectory, NestedHost> boot, Action<NestedHost> body)
    {
        for (int attempt = 1; ; attempt++)
        {
            using var scratch = TemporaryDirectory.Create();
            NestedHost? host = null;
            try
            {
                host = boot(scratch);
                body(host);
                return;
            }
            catch (PeerException) when (attempt < Hosts && (host is null || host.HasRestarted))
            {
                TestContext.Current.SendDiagnosticMessage(host is null ? "the emulated host did not boot" : "the emulated host restarted by itself");
            }
            finally
            {
                host?.Dispose();
            }
        }
    }
}
