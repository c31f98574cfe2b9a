using Paravane.VhostServer.Protocol;
using Paravane.VhostServer.Tests.Support;
using Paravane.VirtioQueues;
using Paravane.VirtioQueues.Inflight;
using Paravane.VirtioQueues.Linux;
using Paravane.VirtioQueues.Memory;
using Paravane.VirtioQueues.Spec;

namespace Paravane.VhostServer.Tests.Session;

public sealed class InflightTests
{
    private const string RecordName = "paravane-inflight";

    public static TheoryData<ulong> Formats => [Machine.Split, Machine.Packed];

    [Theory]
    [InlineData(Machine.Split, (2 * 1088) + 64)]
    [InlineData(Machine.Packed, (2 * 2112) + 64)]
    public void A_fresh_record_is_zeroed_and_as_large_as_its_layout_with_the_devices_word_and_nobody_can_resize_it(ulong features, int expectedBytes)
    {
        using var server = new TestServer(new EchoDevice());
        using var machine = new Machine(server.Connect(), features);
        using FileDescriptor file = Get(machine.Frontend, 2, 64, out InflightArea area);
        Assert.Equal(((ulong)expectedBytes, 0UL, 2, 64), (area.SizeBytes, area.OffsetBytes, area.QueueCount, area.QueueSize));
        Assert.Equal((ulong)expectedBytes, FileStatus.Of(file).SizeBytes);
        Assert.True(MemFd.TrySealSize(file));
        using (Mapping map = Mapping.OfFile(file, 0, (nuint)expectedBytes))
        {
            Assert.Equal(-1, Bytes(map).IndexOfAnyExcept((byte)0));
        }

        Assert.True(Set(machine.Frontend, area, file));
        using TestRing ring = TestRing.Of(machine).Start();
        ring.Echo(3);
        ring.Stop();
        using Mapping used = Mapping.OfFile(file, 0, (nuint)expectedBytes);
        Assert.Equal(InflightRecord.Version, BitConverter.ToUInt16(Bytes(used)[8..]));
        Assert.Equal(64, BitConverter.ToUInt16(Bytes(used)[10..]));
    }

    [Fact]
    public void Payloads_without_the_padding_are_served_too_and_the_reply_has_it()
    {
        using var server = new TestServer(new EchoDevice());
        using var machine = new Machine(server.Connect());
        machine.Frontend.Send(FrontendRequest.GetInflightFd, Frontend.Bytes(new InflightArea(0, 0, 1, 8)).AsSpan(0, InflightArea.UnpaddedBytes));
        List<FileDescriptor> files = [];
        Reply reply = machine.Frontend.Receive(files)!;
        Assert.Equal(24, reply.Payload.Length);
        Assert.Equal([0, 0, 0, 0], reply.Payload[20..]);
        using FileDescriptor file = Assert.Single(files);
        Assert.True(machine.Frontend.Try(FrontendRequest.SetInflightFd, reply.Payload.AsSpan(0, InflightArea.UnpaddedBytes), file));
    }

    [Fact]
    public void M14_a_record_asked_for_and_given_before_the_features_fits_either_ring_format()
    {
        using var server = new TestServer(new EchoDevice());
        using Frontend first = server.Connect();
        first.Send(FrontendRequest.SetProtocolFeatures, (ulong)Machine.AllProtocol);
        using FileDescriptor file = Get(first, 2, 64, out InflightArea area);
        Assert.Equal(InflightRecord.BytesWithWord(RingFormat.Packed, 2, 64), area.SizeBytes);
        Assert.True(Set(first, area, file));
        using var machine = new Machine(first, Machine.Packed);
        using TestRing ring = TestRing.Of(machine).Start();
        ring.Echo(3);
    }

    [Theory]
    [InlineData(0, 64)]
    [InlineData(3, 64)]
    [InlineData(ushort.MaxValue, 64)]
    [InlineData(2, 0)]
    [InlineData(2, 1025)]
    [InlineData(2, ushort.MaxValue)]
    public void I3_a_record_for_queues_that_the_device_does_not_have_is_refused(int queues, int size)
    {
        using var server = new TestServer(new EchoDevice());
        using var machine = new Machine(server.Connect());
        var wanted = new InflightArea(0, 0, (ushort)queues, (ushort)size);
        List<FileDescriptor> files = [];
        machine.Frontend.Send(FrontendRequest.GetInflightFd, wanted);
        Assert.Equal(0UL, machine.Frontend.Receive(files)!.As<InflightArea>().SizeBytes);
        Assert.Empty(files);
        using MemFd file = MemFd.Create("inflight-test", 8 << 20);
        Assert.False(Set(machine.Frontend, new InflightArea(8 << 20, 0, (ushort)queues, (ushort)size), file));
        Assert.True(machine.Frontend.IsServed());
    }

    [Theory, MemberData(nameof(Formats))]
    public void I3_a_record_that_is_too_small_or_not_inside_its_file_is_refused_and_the_old_one_stays(ulong features)
    {
        using var server = new TestServer(new EchoDevice());
        using var machine = new Machine(server.Connect(), features);
        using FileDescriptor good = Get(machine.Frontend, 2, 64, out InflightArea area);
        Assert.True(Set(machine.Frontend, area, good));
        ulong size = InflightRecord.BytesNeeded(features == Machine.Packed ? RingFormat.Packed : RingFormat.Split, 2, 64);
        using MemFd file = MemFd.Create("inflight-test", 8192);
        Assert.False(Set(machine.Frontend, new InflightArea(size - 1, 0, 2, 64), file));
        Assert.False(Set(machine.Frontend, new InflightArea(0, 0, 2, 64), file));
        Assert.False(Set(machine.Frontend, new InflightArea(size, 8192, 2, 64), file));
        Assert.False(Set(machine.Frontend, new InflightArea(size, ulong.MaxValue - 63, 2, 64), file));
        Assert.False(Set(machine.Frontend, new InflightArea(ulong.MaxValue, 64, 2, 64), file));
        Assert.False(Set(machine.Frontend, new InflightArea(size, 4, 2, 64), file));
        Assert.False(Set(machine.Frontend, new InflightArea(8193, 0, 2, 64), file));
        using (var eventFd = new EventFd())
        {
            Assert.False(Set(machine.Frontend, new InflightArea(size, 0, 2, 64), eventFd));
        }

        using TestRing ring = TestRing.Of(machine).Start();
        ring.Echo(2);
        ring.Stop();
        using Mapping used = Mapping.OfFile(good, 0, (nuint)size);
        Assert.Equal(InflightRecord.Version, BitConverter.ToUInt16(Bytes(used)[8..]));
    }

    [Fact]
    public void I3_a_ring_that_the_record_has_no_part_for_or_too_small_a_one_does_not_start()
    {
        using var server = new TestServer(new EchoDevice());
        using var machine = new Machine(server.Connect());
        using FileDescriptor file = Get(machine.Frontend, 1, 32, out InflightArea area);
        Assert.True(Set(machine.Frontend, area, file));
        Frontend frontend = machine.Frontend;
        foreach ((int index, int size) in ((int, int)[])[(1, 32), (0, 64)])
        {
            using TestRing ring = TestRing.Of(machine, index, size);
            Assert.True(frontend.Try(FrontendRequest.SetVringNum, new VringState((uint)index, (uint)size)));
            Assert.False(frontend.Try(FrontendRequest.SetVringAddr, ring.Address()) && frontend.Try(FrontendRequest.SetVringKick, new VringDescriptor((byte)index, true), ring.Kick));
        }

        using TestRing fits = TestRing.Of(machine, 0, 32).Start();
        fits.Echo(2);
    }

    [Theory, MemberData(nameof(Formats))]
    public void M12_the_record_of_a_running_ring_cannot_change(ulong features)
    {
        using var server = new TestServer(new EchoDevice());
        using var machine = new Machine(server.Connect(), features);
        using FileDescriptor file = Get(machine.Frontend, 2, 64, out InflightArea area);
        Assert.True(Set(machine.Frontend, area, file));
        using TestRing ring = TestRing.Of(machine).Start();
        ring.Echo(2);
        Assert.False(Set(machine.Frontend, area, file));
        ring.Echo(2);
        ring.Stop();
        Assert.True(Set(machine.Frontend, area, file));
    }

    [Theory]
    [InlineData(Machine.Split, true)]
    [InlineData(Machine.Split, false)]
    [InlineData(Machine.Packed, true)]
    [InlineData(Machine.Packed, false)]
    public void I8_what_one_back_end_holds_and_never_finishes_is_done_once_by_the_next(ulong features, bool stopsAtOnce)
    {
        // The first one goes on holding its requests until the test is over: to everybody else it is dead.
        var dead = new EchoDevice();
        using var first = new TestServer(dead);
        using var second = new TestServer(new EchoDevice());
        using var machine = new Machine(first.Connect(), features);
        using FileDescriptor file = Get(machine.Frontend, 2, 64, out InflightArea area);
        Assert.True(Set(machine.Frontend, area, file));
        using TestRing ring = TestRing.Of(machine).Start();
        ring.Echo(7);
        dead.IsHolding = true;
        ushort[] slots = [.. Enumerable.Range(0, 20).Select(_ => ring.Offer())];
        Wait.Until(() => dead.Taken == 27, "all are taken");

        using Frontend frontend = second.Connect();
        machine.Attach(frontend);
        Assert.True(Set(frontend, area, file));
        ring.RenewKick();
        ring.Start(enable: !stopsAtOnce, through: frontend);
        if (stopsAtOnce)
        {
            // Nothing was completed out of order, so the base alone tells what is to be done, record or not.
            uint state = ring.Stop(frontend);
            Assert.Equal((features & VirtioFeatures.RingPacked) != 0 ? 0x800e_800eu : 7u, state);
            ring.Start(state, through: frontend);
        }

        Assert.Equal(slots, slots.Select(_ => ring.Collect()));
        Assert.False(ring.TryGet(out _, out _));
        ring.Offer();
        ring.Collect();
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void What_no_base_can_tell_of_is_done_before_a_stop_is_answered_or_stays_in_the_record(bool enabled)
    {
        var dead = new EchoDevice();
        using var first = new TestServer(dead);
        using var second = new TestServer(new EchoDevice());
        using var machine = new Machine(first.Connect());
        using FileDescriptor file = Get(machine.Frontend, 1, 64, out InflightArea area);
        Assert.True(Set(machine.Frontend, area, file));
        using TestRing ring = TestRing.Of(machine).Start();
        dead.IsHolding = true;
        ushort[] slots = [ring.Offer(), ring.Offer(), ring.Offer()];
        Wait.Until(() => dead.Taken == 3, "all are taken");

        // The last one was completed before the others when the first back-end died.
        byte[] head = new byte[2];
        Assert.True(machine.Memory.TryRead(new GuestAddress(ring.Config.DriverArea.Value + 4 + (2 * 2)), head));
        Assert.True(machine.Memory.TryWrite(new GuestAddress(ring.Config.DeviceArea.Value + 4), [head[0], head[1], 0, 0, 0, 0, 0, 0]));
        Assert.True(machine.Memory.TryWrite(new GuestAddress(ring.Config.DeviceArea.Value + 2), [1, 0]));
        using (Mapping map = Mapping.OfFile(file, 0, (nuint)area.SizeBytes))
        {
            Bytes(map)[14] = 1; // used_idx
            Bytes(map)[16 + (16 * BitConverter.ToUInt16(head))] = 0;
        }

        using Frontend frontend = second.Connect();
        machine.Attach(frontend);
        Assert.True(Set(frontend, area, file));
        ring.RenewKick();
        ring.Start(enable: enabled, through: frontend);
        Assert.Equal(3u, ring.Stop(frontend));
        Assert.True(ring.TryGet(out ushort slot, out _));
        Assert.Equal(slots[2], slot);
        if (!enabled)
        {
            Assert.False(ring.TryGet(out _, out _));
            ring.Start(3, through: frontend);
        }

        Assert.Equal((slots[0], slots[1]), (ring.Collect(), ring.Collect()));
    }

    [Theory, MemberData(nameof(Formats))]
    public void I2_a_record_that_makes_no_sense_breaks_the_ring_and_a_fresh_one_heals_it(ulong features)
    {
        using var server = new TestServer(new EchoDevice());
        using var machine = new Machine(server.Connect(), features);
        using FileDescriptor file = Get(machine.Frontend, 2, 64, out InflightArea area);
        using (Mapping map = Mapping.OfFile(file, 0, (nuint)area.SizeBytes))
        {
            Bytes(map)[8] = 77; // version
        }

        Assert.True(Set(machine.Frontend, area, file));
        using TestRing ring = TestRing.Of(machine).Start();
        Wait.Until(ring.Error.Drain, "the error is signalled");
        ring.Offer();
        Thread.Sleep(20);
        Assert.False(ring.TryGet(out _, out _));
        ring.Stop();
        using FileDescriptor fresh = Get(machine.Frontend, 2, 64, out area);
        Assert.True(Set(machine.Frontend, area, fresh));
        ring.Start();
        ring.Collect();
        ring.Echo(3);
    }

    [Theory, MemberData(nameof(Formats))]
    public void A_reset_forgets_the_requests(ulong features)
    {
        using var server = new TestServer(new EchoDevice());
        using var machine = new Machine(server.Connect(), features);
        using FileDescriptor file = Get(machine.Frontend, 2, 64, out InflightArea area);
        Assert.True(Set(machine.Frontend, area, file));
        using TestRing ring = TestRing.Of(machine).Start();
        ring.Echo(5);
        Assert.True(machine.Frontend.Try(FrontendRequest.ResetDevice));
        Assert.True(machine.Frontend.Try(FrontendRequest.SetFeatures, features));
        ring.Reopen(); // from index 0 again, where the record says 5
        ring.Start();
        ring.Echo(5);
    }

    /// <summary>Those of libvhost-user and of DPDK end with the last queue's part.</summary>
    [Theory, MemberData(nameof(Formats))]
    public void A_record_without_room_for_the_devices_word_is_as_good_as_any_for_requests(ulong features)
    {
        using var server = new TestServer(new EchoDevice());
        using var machine = new Machine(server.Connect(), features);
        ulong size = InflightRecord.BytesNeeded(features == Machine.Packed ? RingFormat.Packed : RingFormat.Split, 2, 64);
        using MemFd file = MemFd.Create("inflight-test", size);
        Assert.True(Set(machine.Frontend, new InflightArea(size, 0, 2, 64), file));
        using TestRing ring = TestRing.Of(machine).Start();
        ring.Echo(3);
        Assert.True(machine.Frontend.Try(FrontendRequest.ResetDevice));
        Assert.True(machine.Frontend.Try(FrontendRequest.SetFeatures, features));
        ring.Reopen();
        ring.Start();
        ring.Echo(3);
    }

    [Theory, MemberData(nameof(Formats))]
    public void A_reset_forgets_the_devices_word(ulong features)
    {
        using var server = new TestServer(new EchoDevice());
        using var machine = new Machine(server.Connect(), features);
        using FileDescriptor file = Get(machine.Frontend, 2, 64, out InflightArea area);
        using Mapping map = Mapping.OfFile(file, 0, (nuint)area.SizeBytes);
        Span<byte> word = Bytes(map).Slice((int)area.SizeBytes - 64, sizeof(ulong));
        word.Fill(0x77);
        Assert.True(Set(machine.Frontend, area, file));
        Assert.Equal(0x77, word[0]);
        Assert.True(machine.Frontend.Try(FrontendRequest.ResetDevice));
        Assert.False(word.ContainsAnyExcept((byte)0));
    }

    [Fact]
    public void M15_records_asked_for_and_given_again_and_again_stay_flat_and_go_with_the_connection()
    {
        using var server = new TestServer(new EchoDevice());
        using (var machine = new Machine(server.Connect()))
        {
            Round(machine, 20);
            int descriptors = ProcessCounts.Descriptors, mappings = ProcessCounts.MappingsOf(RecordName);
            Round(machine, 50_000); // of two requests each
            Wait.Until(() => ProcessCounts.Descriptors <= descriptors, "all descriptors are closed");
            Assert.InRange(ProcessCounts.MappingsOf(RecordName), 0, mappings + 20); // other tests run beside
        }

        server.WaitForEnd();
        using Frontend next = server.Connect();
        Assert.True(next.IsServed());

        static void Round(Machine machine, int count)
        {
            for (int i = 0; i < count; i++)
            {
                using FileDescriptor file = Get(machine.Frontend, 2, 1024, out InflightArea area);
                Assert.True(Set(machine.Frontend, area, file));
            }
        }
    }

    private static unsafe Span<byte> Bytes(Mapping map) => new(map.Address, (int)map.LengthBytes);

    private static FileDescriptor Get(Frontend frontend, int queues, int size, out InflightArea area)
    {
        frontend.Send(FrontendRequest.GetInflightFd, new InflightArea(0, 0, (ushort)queues, (ushort)size));
        List<FileDescriptor> files = [];
        Reply? reply = frontend.Receive(files);
        Assert.NotNull(reply);
        Assert.Equal((FrontendRequest.GetInflightFd, MessageFlags.ReplyOfVersion1), (reply.Request, reply.Flags));
        area = reply.As<InflightArea>();
        return Assert.Single(files);
    }

    private static bool Set(Frontend frontend, InflightArea area, FileDescriptor file) => frontend.Try(FrontendRequest.SetInflightFd, area, file);
}
