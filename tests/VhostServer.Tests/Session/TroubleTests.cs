using Paravane.VhostServer.Protocol;
using Paravane.VhostServer.Tests.Support;

namespace Paravane.VhostServer.Tests.Session;

public sealed class TroubleTests
{
    [Fact]
    public void What_goes_wrong_on_the_data_path_is_told_at_once_and_its_sum_when_the_ring_stops()
    {
        var log = new LogLines();
        using var device = new EchoDevice();
        using var server = new TestServer(device, log: log);
        using var machine = new Machine(server.Connect());
        using TestRing ring = TestRing.Of(machine).Start();
        ring.Echo();
        device.Trouble.Count(0);
        Wait.Until(() => log.Has("echoes that failed: 1 for want of air"), "the first is told");
        device.Trouble.Count(0);
        device.Trouble.Count(0);
        ring.Stop();
        Wait.Until(() => log.Has("echoes that failed: 2 for want of air"), "the others are told");
    }

    [Fact]
    public void A_ring_of_which_no_memory_came_is_told_when_the_driver_is_ready()
    {
        var log = new LogLines();
        using var server = new TestServer(new EchoDevice(), log: log);
        using var machine = new Machine(server.Connect(), sendMemory: false);
        using TestRing ring = TestRing.Of(machine).Start(enable: false);
        Assert.True(machine.Frontend.IsServed());
        Assert.False(log.Has("in no memory region")); // it may still come
        Assert.True(machine.Frontend.Try(FrontendRequest.SetStatus, (ulong)(VirtioStatus.Acknowledge | VirtioStatus.Driver | VirtioStatus.FeaturesOk | VirtioStatus.DriverOk)));
        Assert.True(log.Has("vring 0 does not start: its addresses are in no memory region"));
        Assert.False(log.Has("vring 1"));
    }
}
