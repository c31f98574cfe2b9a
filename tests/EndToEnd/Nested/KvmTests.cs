using System.Text.Json;
using Paravane.Peers;

namespace Paravane.EndToEnd.Nested;

/// <summary>
/// The tests that need a KVM (<c>Needs=KVM</c>), on the KVM of an emulated host: bare guests, and <c>paravane run</c> as a process. They also run on this
/// machine's own KVM where it has one, which is another implementation (a processor's nested paging there, often software paging here).
/// </summary>
[Collection(BusyMachine.Name)]
public sealed class KvmTests(ITestOutputHelper output)
{
    [Theory]
    [InlineData("Hypervisor.Tests", "Paravane.Hypervisor.Tests", 62)]
    [InlineData("EndToEnd", "Paravane.EndToEnd", 64)]
    public void What_needs_a_KVM_passes_on_an_emulated_hosts(string project, string program, int atLeast) => EmulatedHost.Try(
        scratch => NestedHost.WithTests(scratch, "Hypervisor.Tests", "EndToEnd"),
        host =>
        {
            // Deadlines are of real time, which an emulated processor may not keep: what fails is run once more, and has to pass then.
            string transcript = string.Empty;
            int failed = 1;
            for (int attempt = 1; attempt <= 2 && failed != 0; attempt++)
            {
                (string report, transcript) = host.RunTests(project, program, limitSeconds: 420);
                using JsonDocument document = JsonDocument.Parse(report);
                JsonElement summary = document.RootElement.GetProperty("results").GetProperty("summary");
                int passed = summary.GetProperty("passed").GetInt32();
                failed = summary.GetProperty("failed").GetInt32();
                output.WriteLine($"run {attempt}: {passed} tests of {project} passed on the emulated host's KVM, {failed} failed");
                Assert.True(summary.GetProperty("skipped").GetInt32() == 0, transcript);
                Assert.True(passed + failed >= atLeast, $"{passed + failed} tests\n{transcript}");
            }

            Assert.True(failed == 0, transcript);
        });

    [Fact]
    public void The_demos_guest_moves_verified_data_through_both_workers_on_an_emulated_hosts_KVM() => EmulatedHost.Try(host =>
    {
        string summary = host.Run("paravane demo --driver=guest --seconds=3");
        Assert.Contains("none lost, none twice, none out of order, every byte right", summary, StringComparison.Ordinal);
        Assert.Contains("exits 0 to this process while all that flowed", summary, StringComparison.Ordinal);
        host.Run("! pidof paravane-blk; ! pidof paravane-net");
    });
}
