using Paravane.VhostServer.Protocol;
using Paravane.VhostServer.Tests.Support;
using Paravane.VirtioQueues.Linux;

namespace Paravane.VhostServer.Tests.Session;

public sealed class StopTests
{
    public static TheoryData<ulong> Formats => VringTests.Formats;

    public static TheoryData<ulong, FrontendRequest> Stops => new()
    {
        { Machine.Split, FrontendRequest.GetVringBase },
        { Machine.Packed, FrontendRequest.GetVringBase },
        { Machine.Split, FrontendRequest.ResetDevice },
        { Machine.Packed, FrontendRequest.ResetDevice },
        { Machine.Split, FrontendRequest.SetStatus },
        { Machine.Packed, FrontendRequest.SetStatus },
    };

    [Theory, MemberData(nameof(Stops))]
    public void R15_a_stop_is_answered_after_the_last_byte_and_nothing_is_written_afterwards(ulong features, FrontendRequest request)
    {
        using var device = new EchoDevice();
        using var server = new TestServer(device);
        using var machine = new Machine(server.Connect(), features);
        using TestRing ring = TestRing.Of(machine).Start();
        device.IsHolding = true;
        for (int i = 0; i < 8; i++)
        {
            ring.Offer();
        }

        Wait.Until(() => device.Taken == 8, "the requests are in flight");
        byte[] payload = request switch
        {
            FrontendRequest.GetVringBase => Frontend.Bytes(new VringState(0, 0)),
            FrontendRequest.SetStatus => Frontend.Bytes(0UL),
            _ => [],
        };
        machine.Frontend.Send(request, payload, needReply: true);
        Thread.Sleep(50);
        Assert.Equal(-Errno.EAGAIN, machine.Frontend.Socket.TryReceive(new byte[1], null, out _)); // no time limit on the drain
        device.IsHolding = false;
        Assert.NotNull(machine.Frontend.Receive());
        byte[] after = machine.Snapshot();
        ring.Kick.Signal();
        Thread.Sleep(200);
        Assert.Equal(after, machine.Snapshot());
        for (int i = 0; i < 8; i++)
        {
            ring.Collect();
        }
    }

    [Theory, MemberData(nameof(Formats))]
    public void GET_VRING_BASE_tells_the_position_also_when_SET_STATUS_stopped_the_rings_before(ulong features)
    {
        // QEMU 7.2 and 8.0 send the status first whenever the guest pauses.
        using var server = new TestServer(new EchoDevice(queues: 2, workers: 2));
        using var machine = new Machine(server.Connect(), features);
        using TestRing ring = TestRing.Of(machine, size: 8).Start();
        using TestRing other = TestRing.Of(machine, 1, size: 8).Start();
        bool isPacked = features == Machine.Packed;
        ring.Echo(21);
        other.Echo(3);
        Assert.True(machine.Frontend.Try(FrontendRequest.SetStatus, 0UL));
        Assert.Equal((isPacked ? 0x0002_0002u : 21, isPacked ? 0x8006_8006u : 3), (ring.Stop(), other.Stop()));
        ring.Start(isPacked ? 0x0002_0002u : 21);
        other.Start(isPacked ? 0x8006_8006u : 3);
        ring.Echo(50);
        other.Echo(50);
    }

    [Theory, MemberData(nameof(Formats))]
    public void R15_a_front_end_that_disconnects_while_a_stop_waits_is_noticed_and_nothing_is_written_after_the_end(ulong features)
    {
        using var device = new EchoDevice();
        using var server = new TestServer(device);
        using var machine = new Machine(server.Connect(), features);
        using TestRing ring = TestRing.Of(machine).Start();
        device.IsHolding = true;
        ring.Offer();
        Wait.Until(() => device.Taken == 1, "the request is in flight");
        machine.Frontend.Send(FrontendRequest.GetVringBase, new VringState(0, 0));
        Thread.Sleep(20);
        machine.Frontend.Dispose();
        Thread.Sleep(20);
        Assert.True(server.Server.IsConnected); // its I/O is still settling
        device.IsHolding = false;
        server.WaitForEnd();
        byte[] after = machine.Snapshot();
        Assert.Equal(1, ProcessCounts.MappingsOf(Machine.MemoryName)); // the test's own
        Thread.Sleep(100);
        Assert.Equal(after, machine.Snapshot());
        using var next = new Machine(server.Connect(), features);
        using TestRing other = TestRing.Of(next).Start();
        other.Echo();
    }

    [Theory, MemberData(nameof(Formats))]
    public void R15_a_disable_is_answered_after_the_last_byte_and_meanwhile_other_rings_go_on(ulong features)
    {
        // Cloud Hypervisor's pause is this message alone.
        using var device = new EchoDevice();
        using var server = new TestServer(device);
        using var machine = new Machine(server.Connect(), features);
        using TestRing ring = TestRing.Of(machine).Start();
        using TestRing other = TestRing.Of(machine, 1).Start();
        device.IsHolding = true;
        ring.Offer();
        Wait.Until(() => device.Taken == 1, "the request is in flight");
        machine.Frontend.Send(FrontendRequest.SetVringEnable, new VringState(0, 0), needReply: true);
        Thread.Sleep(50);
        Assert.Equal(-Errno.EAGAIN, machine.Frontend.Socket.TryReceive(new byte[1], null, out _));
        ring.Offer();
        other.Offer();
        Wait.Until(() => device.Taken == 2, "the other ring's request is taken");
        device.IsHolding = false;
        Assert.Equal(0UL, machine.Frontend.Receive()!.Word);
        byte[] after = machine.Snapshot();
        ring.Kick.Signal();
        Thread.Sleep(100);
        ring.Collect();
        other.Collect();
        Assert.False(ring.TryGet(out _, out _)); // it came after the disable
        Assert.Equal(after[(1 << 18)..(1 << 19)], machine.Snapshot()[(1 << 18)..(1 << 19)]); // the ring's buffers
        ring.Enable(true);
        ring.Collect();
        ring.Echo(3);
    }

    [Fact]
    public void R15_a_front_end_that_disconnects_while_a_disable_waits_is_noticed()
    {
        using var device = new EchoDevice();
        using var server = new TestServer(device);
        using var machine = new Machine(server.Connect());
        using TestRing ring = TestRing.Of(machine).Start();
        device.IsHolding = true;
        ring.Offer();
        Wait.Until(() => device.Taken == 1, "the request is in flight");
        machine.Frontend.Send(FrontendRequest.SetVringEnable, new VringState(0, 0), needReply: true);
        Thread.Sleep(20);
        machine.Frontend.Dispose();
        device.IsHolding = false;
        server.WaitForEnd();
        using var next = new Machine(server.Connect());
        using TestRing other = TestRing.Of(next).Start();
        other.Echo();
    }

    [Fact]
    public void A_stop_that_waits_does_not_keep_others_from_being_turned_away()
    {
        using var device = new EchoDevice();
        using var server = new TestServer(device);
        using var machine = new Machine(server.Connect());
        using TestRing ring = TestRing.Of(machine).Start();
        device.IsHolding = true;
        ring.Offer();
        Wait.Until(() => device.Taken == 1, "the request is in flight");
        machine.Frontend.Send(FrontendRequest.GetVringBase, new VringState(0, 0));
        using (Frontend second = server.Connect())
        {
            Assert.True(second.IsClosed());
        }

        device.IsHolding = false;
        Assert.NotNull(machine.Frontend.Receive());
        ring.Collect();
    }

    [Fact]
    public void M19_connections_that_end_anywhere_leave_nothing_behind()
    {
        const int Connections = 100_000, Deep = 25; // every 25th comes as far as memory and rings
        using var device = new EchoDevice();
        using var server = new TestServer(device);
        Connection(int.MaxValue);
        int descriptors = ProcessCounts.Descriptors, mappings = ProcessCounts.MappingsOf(Machine.MemoryName);
        for (int i = 0; i < Connections; i++)
        {
            if (i % Deep == 0)
            {
                Connection(i / Deep % 16);
            }
            else
            {
                Brief(i % Deep == Deep - 1 ? 3 : i % 4);
            }
        }

        // Two more were seen once for a moment, of an owner not known; what leaks stays and fails this.
        Wait.Until(() => ProcessCounts.Descriptors <= descriptors, "all descriptors are closed");
        Assert.Equal(mappings, ProcessCounts.MappingsOf(Machine.MemoryName));
        Connection(int.MaxValue);

        void Connection(int steps)
        {
            server.WaitForEnd();
            using (Frontend frontend = server.Connect())
            {
                if (steps > 0)
                {
                    using var machine = new Machine(frontend, steps % 2 == 0 ? Machine.Split : Machine.Packed, sendMemory: steps > 1);
                    using TestRing ring = TestRing.Of(machine);
                    if (steps > 2)
                    {
                        ring.Start(enable: steps > 3);
                    }

                    for (int i = 4; i < Math.Min(steps, 14); i++)
                    {
                        ring.Offer();
                    }

                    if (steps > 14)
                    {
                        ring.Collect();
                    }
                }
            }

            server.WaitForEnd();
        }

        // May come while the one before is not gone yet, and be turned away. After a third kind's all before have been accepted.
        void Brief(int kind)
        {
            using Frontend frontend = server.Connect();
            switch (kind)
            {
                case 1: // a piece of a header
                    frontend.SendRaw(Frontend.Encode(FrontendRequest.GetFeatures, []).AsSpan(0, 5));
                    break;
                case 2: // a payload that stops short
                    frontend.SendRaw(Frontend.Encode(FrontendRequest.SetVringNum, [1, 2, 3], size: 8));
                    break;
                case 3: // a question, and its answer
                    frontend.Send(FrontendRequest.GetFeatures, []);
                    frontend.Receive();
                    break;
            }
        }
    }

    [Fact]
    public void M20_a_second_front_end_is_turned_away_and_the_first_does_not_notice()
    {
        using var server = new TestServer(new EchoDevice());
        using var machine = new Machine(server.Connect());
        using TestRing ring = TestRing.Of(machine).Start();
        for (int i = 0; i < 20; i++)
        {
            ring.Offer();
            using Frontend second = server.Connect();
            second.Send(FrontendRequest.ResetDevice, []);
            Assert.True(second.IsClosed());
            ring.Collect();
        }

        Assert.True(machine.Frontend.IsServed());
    }

    [Theory, MemberData(nameof(Formats))]
    public void A_front_end_that_comes_back_goes_on(ulong features)
    {
        using var device = new EchoDevice();
        using var server = new TestServer(device);
        for (int i = 0; i < 10; i++)
        {
            using var machine = new Machine(server.Connect(), features);
            using TestRing ring = TestRing.Of(machine).Start();
            ring.Echo(5);
            Assert.Equal(i, device.Forgotten);
            machine.Frontend.Dispose();
            server.WaitForEnd();
            Assert.Equal((i + 1, 0), (device.Forgotten, device.Resets));
        }
    }
}
