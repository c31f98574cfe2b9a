using Paravane.VhostServer.Protocol;
using Paravane.VhostServer.Tests.Support;
using Paravane.VirtioQueues.Linux;
using Paravane.VirtioQueues.Spec;

namespace Paravane.VhostServer.Tests.Session;

public sealed class VringTests
{
    public static TheoryData<ulong> Formats => new(Machine.Split, Machine.Packed);

    [Theory, MemberData(nameof(Formats))]
    public void A_ring_serves_and_goes_on_where_it_stopped(ulong features)
    {
        using var server = new TestServer(new EchoDevice());
        using var machine = new Machine(server.Connect(), features);
        using TestRing ring = TestRing.Of(machine, size: 8).Start();
        ring.Echo(21);
        uint position = ring.Stop();
        Assert.Equal(position, ring.Stop()); // stopped when stopped
        ring.Start(position);
        ring.Echo(50);
        Assert.Equal(0, (int)ring.Fault);
    }

    [Theory, MemberData(nameof(Formats))]
    public void Requests_that_were_offered_before_the_start_are_served_without_a_kick(ulong features)
    {
        using var server = new TestServer(new EchoDevice());
        using var machine = new Machine(server.Connect(), features);
        using TestRing ring = TestRing.Of(machine);
        ring.Offer(kick: false);
        ring.Start();
        ring.Collect();
    }

    [Fact]
    public void M14_the_parts_of_a_ring_may_come_in_any_order()
    {
        FrontendRequest[] parts = [FrontendRequest.SetVringNum, FrontendRequest.SetVringAddr, FrontendRequest.SetVringBase, FrontendRequest.SetVringKick, FrontendRequest.SetVringCall];
        using var server = new TestServer(new EchoDevice());
        foreach (FrontendRequest[] order in Permutations(parts))
        {
            using var machine = new Machine(server.Connect());
            using TestRing ring = TestRing.Of(machine, index: 1);
            Frontend frontend = machine.Frontend;
            ring.Enable(true);
            foreach (FrontendRequest part in order)
            {
                Assert.True(part switch
                {
                    FrontendRequest.SetVringNum => frontend.Try(part, new VringState(1, 64)),
                    FrontendRequest.SetVringAddr => frontend.Try(part, ring.Address()),
                    FrontendRequest.SetVringBase => frontend.Try(part, new VringState(1, 0)),
                    FrontendRequest.SetVringKick => frontend.Try(part, new VringDescriptor(1, true), ring.Kick),
                    _ => frontend.Try(part, new VringDescriptor(1, true), ring.Call),
                });
            }

            ring.Echo(2);
            machine.Frontend.Dispose();
            server.WaitForEnd();
        }
    }

    [Fact]
    public void M14_a_ring_whose_memory_comes_last_starts_then()
    {
        using var server = new TestServer(new EchoDevice());
        using var machine = new Machine(server.Connect(), sendMemory: false);
        using TestRing ring = TestRing.Of(machine).Start();
        ring.Offer();
        Assert.True(machine.AddRegion(Machine.Region));
        ring.Collect();
    }

    [Theory]
    [InlineData(FrontendRequest.SetVringKick)]
    [InlineData(FrontendRequest.SetVringAddr)]
    public void M14_a_start_that_the_device_refuses_leaves_the_ring_as_it_was(FrontendRequest last)
    {
        var device = new EchoDevice();
        using var server = new TestServer(device);
        using var machine = new Machine(server.Connect());
        using TestRing ring = TestRing.Of(machine);
        Frontend frontend = machine.Frontend;
        ring.Enable(true);
        Assert.True(frontend.Try(FrontendRequest.SetVringNum, new VringState(0, 64)));
        Assert.True(frontend.Try(FrontendRequest.SetVringCall, new VringDescriptor(0, true), ring.Call));
        bool Address() => frontend.Try(FrontendRequest.SetVringAddr, ring.Address());
        bool Kick() => frontend.Try(FrontendRequest.SetVringKick, new VringDescriptor(0, true), ring.Kick);
        Func<bool> before = last == FrontendRequest.SetVringKick ? Address : Kick, after = last == FrontendRequest.SetVringKick ? Kick : Address;
        Assert.True(before());
        device.RefusesToStart = true;
        Assert.False(after());
        device.RefusesToStart = false;
        Assert.True(frontend.Try(FrontendRequest.SetVringBase, new VringState(0, 7))); // refused while a ring runs
        Assert.True(frontend.Try(FrontendRequest.SetVringBase, new VringState(0, 0)));
        Assert.True(after());
        Wait.Until(ring.Call.Drain, "the call is known and signalled at the start");
        Thread.Sleep(20); // the worker sleeps until it is kicked
        ring.Echo(3);
    }

    [Theory]
    [InlineData(FrontendRequest.SetVringKick)]
    [InlineData(FrontendRequest.SetVringCall)]
    [InlineData(FrontendRequest.SetVringErr)]
    public void M7_no_descriptor_means_polling_or_silence_before_and_while_running(FrontendRequest request)
    {
        using var server = new TestServer(new EchoDevice());
        using var machine = new Machine(server.Connect());
        using TestRing ring = TestRing.Of(machine);
        Assert.True(machine.Frontend.Try(FrontendRequest.SetVringNum, new VringState(0, 64)));
        Assert.True(machine.Frontend.Try(FrontendRequest.SetVringAddr, ring.Address()));
        Assert.True(machine.Frontend.Try(request, new VringDescriptor(0, false)));
        if (request != FrontendRequest.SetVringKick)
        {
            Assert.True(machine.Frontend.Try(FrontendRequest.SetVringKick, new VringDescriptor(0, false)));
        }

        ring.Enable(true);
        for (int i = 0; i < 5; i++)
        {
            ring.Offer(kick: false);
            ring.Collect();
            Thread.Sleep(i * 3); // long enough for the worker to go to sleep in between
        }

        Assert.True(machine.Frontend.Try(request, new VringDescriptor(0, false)));
        ring.Offer(kick: false);
        ring.Collect();
    }

    [Fact]
    public void M7_the_bit_and_the_descriptor_must_agree()
    {
        using var server = new TestServer(new EchoDevice());
        using var eventFd = new EventFd();
        foreach (FrontendRequest request in (FrontendRequest[])[FrontendRequest.SetVringKick, FrontendRequest.SetVringCall, FrontendRequest.SetVringErr])
        {
            using (Frontend frontend = server.Connect())
            {
                frontend.Send(request, new VringDescriptor(0, true));
                Assert.True(frontend.IsClosed());
            }

            server.WaitForEnd();
            using (Frontend frontend = server.Connect())
            {
                frontend.Send(request, new VringDescriptor(0, false), false, eventFd);
                Assert.True(frontend.IsClosed());
            }

            server.WaitForEnd();
        }
    }

    [Theory]
    [InlineData(FrontendRequest.SetVringKick)]
    [InlineData(FrontendRequest.SetVringCall)]
    [InlineData(FrontendRequest.SetVringErr)]
    [InlineData(FrontendRequest.SetLogFd)]
    public void M8_only_eventfds_and_pipes_carry_signals_and_they_are_made_non_blocking(FrontendRequest request)
    {
        using var server = new TestServer(new EchoDevice());
        using var machine = new Machine(server.Connect());
        byte[] payload = request == FrontendRequest.SetLogFd ? [] : Frontend.Bytes(new VringDescriptor(0, true));
        (UnixSocket first, UnixSocket second) = UnixSocket.Pair();
        using var file = new FileDescriptor(OddDescriptors.OpenFile());
        using var directory = new FileDescriptor(OddDescriptors.OpenDirectory());
        using var epoll = new Epoll();
        Assert.False(machine.Frontend.Try(request, payload, first));
        Assert.False(machine.Frontend.Try(request, payload, file));
        Assert.False(machine.Frontend.Try(request, payload, directory));
        Assert.False(machine.Frontend.Try(request, payload, epoll));
        Assert.False(machine.Frontend.Try(request, payload, machine.Ram));
        first.Dispose();
        second.Dispose();

        (FileDescriptor read, FileDescriptor write) = OddDescriptors.Pipe();
        Assert.True(machine.Frontend.Try(request, payload, request == FrontendRequest.SetVringKick ? read : write));
        Assert.True(OddDescriptors.IsNonBlocking(request == FrontendRequest.SetVringKick ? read : write));
        read.Dispose();
        write.Dispose();
        using FileDescriptor blocking = OddDescriptors.BlockingEventFd();
        Assert.True(machine.Frontend.Try(request, payload, blocking));
        Assert.True(OddDescriptors.IsNonBlocking(blocking));
    }

    [Theory, MemberData(nameof(Formats))]
    public void M8_a_pipe_that_nobody_reads_or_whose_writer_has_gone_harms_nobody(ulong features)
    {
        using var server = new TestServer(new EchoDevice());
        using var machine = new Machine(server.Connect(), features);
        using TestRing ring = TestRing.Of(machine);
        (FileDescriptor kickRead, FileDescriptor kickWrite) = OddDescriptors.Pipe();
        (FileDescriptor callRead, FileDescriptor callWrite) = OddDescriptors.Pipe();
        OddDescriptors.Fill(callWrite);
        ring.Start();
        Assert.True(machine.Frontend.Try(FrontendRequest.SetVringCall, new VringDescriptor(0, true), callWrite));
        Assert.True(machine.Frontend.Try(FrontendRequest.SetVringKick, new VringDescriptor(0, true), kickRead));
        kickRead.Dispose();
        for (int i = 0; i < 20; i++)
        {
            ring.ArmCall();
            ring.Offer(kick: false);
            EventFd.Signal(kickWrite.Number);
            ring.Collect();
        }

        kickWrite.Dispose(); // the pipe is «readable» for ever now
        Thread.Sleep(20);
        TimeSpan before = WorkerThreads.CpuTime();
        Thread.Sleep(200);
        Assert.True((WorkerThreads.CpuTime() - before).TotalMilliseconds < 120, "the worker spins on a pipe without a writer");
        ring.ReplaceKick();
        ring.Echo();
        callRead.Dispose();
        callWrite.Dispose();
    }

    [Fact]
    public void M9_a_vring_index_that_is_too_large_or_fits_only_after_cutting_is_refused()
    {
        using var server = new TestServer(new EchoDevice(queues: 2));
        using var machine = new Machine(server.Connect());
        Frontend frontend = machine.Frontend;
        using var eventFd = new EventFd();
        foreach (uint index in (uint[])[2, 3, 0xff, 0x100, 0x101, 0x1_0000, 0x1_0001, 0x8000_0000, uint.MaxValue])
        {
            foreach (FrontendRequest request in (FrontendRequest[])[FrontendRequest.SetVringNum, FrontendRequest.SetVringBase, FrontendRequest.GetVringBase, FrontendRequest.SetVringEnable])
            {
                Assert.False(frontend.Try(request, new VringState(index, 1)));
            }

            Assert.False(frontend.Try(FrontendRequest.SetVringAddr, new VringAddress(index, 0, Machine.UserBase, Machine.UserBase, Machine.UserBase, 0)));
            if ((index & 0x100) == 0)
            {
                foreach (FrontendRequest request in (FrontendRequest[])[FrontendRequest.SetVringKick, FrontendRequest.SetVringCall, FrontendRequest.SetVringErr])
                {
                    Assert.False(frontend.Try(request, new VringDescriptor((ulong)index), eventFd));
                    Assert.False(frontend.Try(request, new VringDescriptor(index | 0x1_0000_0000_0000UL), eventFd));
                }
            }
        }

        using TestRing ring = TestRing.Of(machine, index: 1).Start();
        ring.Echo();
    }

    [Theory]
    [InlineData(0u, false, false)]
    [InlineData(1u, true, true)]
    [InlineData(3u, false, true)]
    [InlineData(1000u, false, true)]
    [InlineData(1024u, true, true)]
    [InlineData(1025u, false, false)]
    [InlineData(32769u, false, false)]
    [InlineData(65536u, false, false)]
    [InlineData(65537u, false, false)]
    [InlineData(uint.MaxValue, false, false)]
    public void M10_vring_sizes_are_bounded_by_the_device_and_by_the_ring_format(uint size, bool split, bool packed)
    {
        using var server = new TestServer(new EchoDevice()); // largest size 1024
        using Frontend frontend = server.Connect();
        frontend.Negotiate(Machine.Split, ProtocolFeatures.None);
        Assert.Equal(split, frontend.Try(FrontendRequest.SetVringNum, new VringState(0, size)));
        frontend.Negotiate(Machine.Packed, ProtocolFeatures.None);
        Assert.Equal(packed, frontend.Try(FrontendRequest.SetVringNum, new VringState(0, size)));
    }

    [Theory, MemberData(nameof(Formats))]
    public void M11_ring_addresses_that_are_unmapped_misaligned_or_reach_over_the_end_are_refused(ulong features)
    {
        using var server = new TestServer(new EchoDevice());
        using var machine = new Machine(server.Connect(), features);
        using TestRing ring = TestRing.Of(machine);
        Assert.True(machine.Frontend.Try(FrontendRequest.SetVringNum, new VringState(0, 64)));
        VringAddress good = ring.Address();
        const ulong End = Machine.UserBase + Machine.SizeBytes;
        foreach (ulong bad in (ulong[])[0, 1, Machine.UserBase - 16, End, End - 1, ulong.MaxValue, ulong.MaxValue - 15, Machine.UserBase + 1])
        {
            Assert.False(machine.Frontend.Try(FrontendRequest.SetVringAddr, new VringAddress(0, 0, bad, good.Used, good.Available, 0)));
            Assert.False(machine.Frontend.Try(FrontendRequest.SetVringAddr, new VringAddress(0, 0, good.Descriptor, bad, good.Available, 0)));
            Assert.False(machine.Frontend.Try(FrontendRequest.SetVringAddr, new VringAddress(0, 0, good.Descriptor, good.Used, bad, 0)));
        }

        Assert.False(machine.Frontend.Try(FrontendRequest.SetVringAddr, new VringAddress(0, 0, End - 16, good.Used, good.Available, 0))); // begins inside, ends outside
        Assert.False(machine.Frontend.Try(FrontendRequest.SetVringAddr, new VringAddress(0, (VringAddressFlags)2, good.Descriptor, good.Used, good.Available, 0)));
        ring.Start();
        ring.Echo();
    }

    [Fact]
    public void M11_a_size_that_makes_known_addresses_too_long_is_refused_at_the_start()
    {
        using var server = new TestServer(new EchoDevice());
        using var machine = new Machine(server.Connect());
        using TestRing ring = TestRing.Of(machine);
        ulong nearEnd = Machine.UserBase + Machine.SizeBytes - (16 * 64);
        VringAddress good = ring.Address();
        Assert.True(machine.Frontend.Try(FrontendRequest.SetVringNum, new VringState(0, 64)));
        Assert.True(machine.Frontend.Try(FrontendRequest.SetVringAddr, new VringAddress(0, 0, nearEnd, good.Used, good.Available, 0)));
        Assert.True(machine.Frontend.Try(FrontendRequest.SetVringNum, new VringState(0, 128)));
        Assert.False(machine.Frontend.Try(FrontendRequest.SetVringKick, new VringDescriptor(0, true), ring.Kick));
        ring.Start();
        ring.Echo();
    }

    [Theory, MemberData(nameof(Formats))]
    public void M12_size_base_addresses_and_features_of_a_running_ring_cannot_change(ulong features)
    {
        using var server = new TestServer(new EchoDevice());
        using var machine = new Machine(server.Connect(), features);
        using TestRing ring = TestRing.Of(machine).Start();
        Frontend frontend = machine.Frontend;
        for (int i = 0; i < 20; i++)
        {
            ring.Offer();
            Assert.False(frontend.Try(FrontendRequest.SetVringNum, new VringState(0, 32)));
            Assert.False(frontend.Try(FrontendRequest.SetVringBase, new VringState(0, 5)));
            VringAddress address = ring.Address();
            Assert.False(frontend.Try(FrontendRequest.SetVringAddr, new VringAddress(0, 0, address.Descriptor + 4096, address.Used, address.Available, 0)));
            Assert.False(frontend.Try(FrontendRequest.SetFeatures, features ^ VirtioFeatures.EventIdx));
            Assert.False(frontend.Try(FrontendRequest.SetFeatures, features ^ VirtioFeatures.RingPacked));
            Assert.True(frontend.Try(FrontendRequest.SetVringNum, new VringState(0, 64))); // the same again is nothing
            Assert.True(frontend.Try(FrontendRequest.SetVringAddr, address));
            Assert.True(frontend.Try(FrontendRequest.SetFeatures, features));
            ring.Collect();
        }
    }

    [Theory, MemberData(nameof(Formats))]
    public void M12a_what_front_ends_change_under_load_works_under_load(ulong features)
    {
        using var server = new TestServer(new EchoDevice());
        using var machine = new Machine(server.Connect(), features);
        using TestRing ring = TestRing.Of(machine).Start();
        var far = new MemoryRegion(0x1_0000_0000, 1 << 20, 0x7100_0000_0000, 0);
        for (int i = 0; i < 30; i++)
        {
            ring.Offer();
            ring.ReplaceKick();
            ring.Offer();
            ring.ReplaceCall();
            Assert.True(machine.Frontend.Try(FrontendRequest.SetVringErr, new VringDescriptor(0, true), ring.Error));
            ring.Enable(false);
            ring.Enable(true);
            Assert.True(machine.Frontend.Try(FrontendRequest.SetFeatures, features ^ (i % 2 == 0 ? VirtioFeatures.LogAll : 0)));
            Assert.True(machine.Frontend.Try(FrontendRequest.SetVringAddr, ring.Address(i % 2 == 0 ? VringAddressFlags.Log : 0, ring.Config.DeviceArea.Value)));
            ring.Offer();
            Assert.True(machine.AddRegion(far));
            Assert.True(machine.RemoveRegion(far));
            for (int j = 0; j < 3; j++)
            {
                ring.Collect();
            }
        }
    }

    [Fact]
    public void A_new_call_is_signalled_once()
    {
        using var server = new TestServer(new EchoDevice());
        using var machine = new Machine(server.Connect());
        using TestRing ring = TestRing.Of(machine).Start();
        ring.Echo();
        ring.ReplaceCall();
        Wait.Until(ring.Call.Drain, "the new call is signalled");
    }

    [Theory, MemberData(nameof(Formats))]
    public void A_disabled_ring_leaves_its_requests_until_it_is_enabled(ulong features)
    {
        using var server = new TestServer(new EchoDevice());
        using var machine = new Machine(server.Connect(), features);
        using TestRing ring = TestRing.Of(machine).Start(enable: false);
        ring.Offer();
        TimeSpan before = WorkerThreads.CpuTime();
        Thread.Sleep(150);
        Assert.True((WorkerThreads.CpuTime() - before).TotalMilliseconds < 100, "the worker spins on a disabled ring");
        Assert.False(ring.TryGet(out _, out _));
        ring.Enable(true);
        ring.Collect();
    }

    [Fact]
    public void Enabling_is_legal_before_features_and_pointless_without_bit_30()
    {
        using var server = new TestServer(new EchoDevice());
        using Frontend frontend = server.Connect();
        frontend.Send(FrontendRequest.SetProtocolFeatures, (ulong)Machine.AllProtocol);
        Assert.True(frontend.Try(FrontendRequest.SetVringEnable, new VringState(0, 1)));
        Assert.False(frontend.Try(FrontendRequest.SetVringEnable, new VringState(0, 2)));
        Assert.True(frontend.Try(FrontendRequest.SetFeatures, Machine.Split & ~VirtioFeatures.ProtocolFeatures));
        Assert.False(frontend.Try(FrontendRequest.SetVringEnable, new VringState(0, 1)));
    }

    [Fact]
    public void Without_bit_30_all_rings_are_enabled()
    {
        using var server = new TestServer(new EchoDevice());
        using var machine = new Machine(server.Connect());
        using TestRing ring = TestRing.Of(machine);
        Assert.True(machine.Frontend.Try(FrontendRequest.SetFeatures, Machine.Split & ~VirtioFeatures.ProtocolFeatures));
        Assert.True(machine.Frontend.Try(FrontendRequest.SetVringNum, new VringState(0, 64)));
        Assert.True(machine.Frontend.Try(FrontendRequest.SetVringAddr, ring.Address()));
        Assert.True(machine.Frontend.Try(FrontendRequest.SetVringKick, new VringDescriptor(0, true), ring.Kick));
        ring.Echo();
    }

    [Theory, MemberData(nameof(Formats))]
    public void RESET_DEVICE_stops_and_disables_all_rings_and_keeps_the_memory(ulong features)
    {
        var device = new EchoDevice();
        using var server = new TestServer(device);
        using var machine = new Machine(server.Connect(), features);
        using TestRing ring = TestRing.Of(machine).Start();
        ring.Echo(3);
        Assert.True(machine.Frontend.Try(FrontendRequest.SetStatus, 15UL));
        Assert.True(machine.Frontend.Try(FrontendRequest.ResetDevice));
        Assert.Equal(1, device.Resets);
        Assert.Equal(0UL, machine.Frontend.Ask(FrontendRequest.GetStatus).Word);
        ring.Reopen();
        Assert.True(machine.Frontend.Try(FrontendRequest.SetFeatures, features));
        ring.Start(enable: false);
        ring.Offer();
        Thread.Sleep(20);
        Assert.False(ring.TryGet(out _, out _)); // disabled
        ring.Enable(true);
        ring.Collect();
    }

    [Theory]
    [InlineData(FrontendRequest.ResetDevice)]
    [InlineData(FrontendRequest.SetStatus)]
    public void A_reset_also_forgets_a_start_that_waits_for_the_rest_of_its_ring(FrontendRequest reset)
    {
        using var server = new TestServer(new EchoDevice());
        using var machine = new Machine(server.Connect());
        using TestRing ring = TestRing.Of(machine);
        Frontend frontend = machine.Frontend;
        Assert.True(frontend.Try(FrontendRequest.SetVringCall, new VringDescriptor(0, true), ring.Call));
        Assert.True(frontend.Try(FrontendRequest.SetVringKick, new VringDescriptor(0, true), ring.Kick));
        Assert.True(frontend.Try(reset, reset == FrontendRequest.SetStatus ? Frontend.Bytes(0UL) : []));
        Assert.True(frontend.Try(FrontendRequest.SetFeatures, machine.Features));
        Assert.True(frontend.Try(FrontendRequest.SetVringNum, new VringState(0, 64)));
        Assert.True(frontend.Try(FrontendRequest.SetVringAddr, ring.Address()));
        ring.Enable(true);
        ring.Offer();
        Thread.Sleep(50);
        Assert.False(ring.TryGet(out _, out _));
        ring.ReplaceKick();
        ring.Collect();
        Assert.False(ring.Call.Drain()); // that one was forgotten too
    }

    private static IEnumerable<T[]> Permutations<T>(T[] items) => items.Length == 1
        ? [items]
        : items.SelectMany((item, i) => Permutations<T>([.. items[..i], .. items[(i + 1)..]]).Select(rest => (T[])[item, .. rest]));
}
