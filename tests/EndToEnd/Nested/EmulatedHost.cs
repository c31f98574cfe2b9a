using Paravane.Peers;

namespace Paravane.EndToEnd.Nested;

/// <summary>Runs a test on an emulated host.</summary>
/// <remarks>
/// QEMU's emulation of SVM falls over by itself now and then, and a CPU of the host or of its guest may stand still for ever where a kernel patches its own code
/// (see <see cref="NestedHost"/>). So a test that got no answer has one more host, and has to get it there; one that got a wrong answer has not.
/// </remarks>
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
            catch (SilentGuestException failure) when (attempt < Hosts)
            {
                TestContext.Current.TestOutputHelper?.WriteLine($"on the first emulated host: {failure.Message}");
            }
            finally
            {
                host?.Dispose();
            }
        }
    }
}
