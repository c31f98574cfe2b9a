using Paravane.Hypervisor.Workers;
using Paravane.VhostServer;

namespace Paravane.Hypervisor.Tests.Workers;

public sealed class LimitedLogTests
{
    [Fact]
    public void A_guest_that_breaks_its_device_again_and_again_fills_no_journal()
    {
        var lines = new List<string>();
        var log = new LimitedLog(lines.Add);
        for (int i = 0; i < 100_000; i++)
        {
            log.Say("disk0: the driver has to reset the device");
        }

        Assert.InRange(lines.Count, LineLimit.LinesPerWindow, 10 * LineLimit.LinesPerWindow);
    }
}
