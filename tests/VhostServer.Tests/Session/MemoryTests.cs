using System.Runtime.InteropServices;
using Paravane.VhostServer.Protocol;
using Paravane.VhostServer.Tests.Support;
using Paravane.VirtioQueues.Linux;

namespace Paravane.VhostServer.Tests.Session;

public sealed class MemoryTests
{
    private static readonly MemoryRegion s_far = new(0x1_0000_0000, 1 << 20, 0x7100_0000_0000, 0);

    public static TheoryData<ulong> Formats => VringTests.Formats;

    [Fact]
    public void A1_tables_that_overlap_overflow_or_do_not_match_their_descriptors_are_refused()
    {
        using var server = new TestServer(new EchoDevice());
        using var machine = new Machine(server.Connect());
        using TestRing ring = TestRing.Of(machine).Start();
        MemoryRegion good = Machine.Region;
        Assert.False(Table(machine, [good, good]));
        Assert.False(Table(machine, [good, new(good.GuestAddress + 4096, 4096, 0x100, 0)]));
        Assert.False(Table(machine, [good, new(0x100, 4096, good.UserAddress + 4096, 0)]));
        Assert.False(Table(machine, [new(good.GuestAddress, 0, good.UserAddress, 0)]));
        Assert.False(Table(machine, [new(ulong.MaxValue - 4095, 8192, good.UserAddress, 0)]));
        Assert.False(Table(machine, [new(good.GuestAddress, 8192, ulong.MaxValue - 4095, 0)]));
        Assert.False(Table(machine, [new(good.GuestAddress, 4096, good.UserAddress, ulong.MaxValue)]));
        Assert.False(Table(machine, [good], count: 0));
        Assert.False(Table(machine, [good], count: 2));
        Assert.False(Table(machine, [good], count: uint.MaxValue));
        Assert.False(Table(machine, [good], descriptors: 0));
        Assert.False(Table(machine, [good], descriptors: 2));
        Assert.False(machine.AddRegion(new(good.GuestAddress, 8192, good.UserAddress, 0)));
        Assert.False(machine.AddRegion(new(good.GuestAddress, good.SizeBytes - 4096, good.UserAddress, 4096)));
        Assert.False(machine.RemoveRegion(s_far));
        Assert.False(machine.RemoveRegion(new(good.GuestAddress, good.SizeBytes - 4096, good.UserAddress, 0)));
        ring.Echo(5); // all of it changed nothing
    }

    [Fact]
    public void A1_one_region_more_than_promised_is_refused()
    {
        using var server = new TestServer(new EchoDevice());
        using var machine = new Machine(server.Connect());
        Assert.Equal(509UL, machine.Frontend.Ask(FrontendRequest.GetMaxMemSlots).Word);
        for (uint i = 1; i < 509; i++)
        {
            Assert.True(machine.AddRegion(Slot(i)));
        }

        Assert.False(machine.AddRegion(Slot(509)));
        using TestRing ring = TestRing.Of(machine).Start();
        ring.Echo();
        Assert.True(machine.RemoveRegion(Slot(77)));
        Assert.True(machine.AddRegion(Slot(509)));
        ring.Echo();

        static MemoryRegion Slot(uint i) => new(0x1_0000_0000 + (i * 0x1_0000UL), 4096, 0x7100_0000_0000 + (i * 0x1_0000UL), i * 4096);
    }

    [Fact]
    public void A1_the_same_region_once_for_each_queue_pair_is_no_overlap()
    {
        using var server = new TestServer(new EchoDevice());
        using var machine = new Machine(server.Connect());
        using TestRing ring = TestRing.Of(machine).Start();
        Assert.True(machine.AddRegion(s_far));
        Assert.True(machine.AddRegion(s_far));
        using MemFd other = MemFd.Create("other", Machine.SizeBytes);
        Assert.False(machine.AddRegion(s_far, other));              // an alias of another file would be a lie
        ring.Echo();

        Assert.True(machine.RemoveRegion(s_far));                   // gone
        Assert.True(machine.AddRegion(s_far, other));               // so that the first pair may bring another one
        Assert.True(machine.RemoveRegion(s_far));                   // the second pair does the same
        Assert.True(machine.AddRegion(s_far, other));
        Assert.True(machine.RemoveRegion(s_far));
        Assert.True(machine.RemoveRegion(s_far));
        Assert.False(machine.RemoveRegion(s_far));                  // nobody has it any more
        ring.Echo();
    }

    [Fact]
    public void A_region_that_comes_back_for_one_queue_pair_goes_when_that_pair_removes_it()
    {
        // QEMU before 8.1 with two queue pairs of which only the first is started from the second step on.
        MemoryRegion first = s_far, second = new(s_far.GuestAddress, s_far.SizeBytes / 2, s_far.UserAddress, 0);
        using var server = new TestServer(new EchoDevice());
        using var machine = new Machine(server.Connect());
        Assert.True(machine.AddRegion(first));
        Assert.True(machine.AddRegion(first));
        for (int i = 0; i < 3; i++)
        {
            Assert.True(machine.RemoveRegion(first));
            Assert.True(machine.AddRegion(second));
            Assert.True(machine.RemoveRegion(second));
            Assert.True(machine.AddRegion(first));
        }

        Assert.True(machine.RemoveRegion(first));
        Assert.True(machine.RemoveRegion(first));  // the other pair has caught up
        Assert.False(machine.RemoveRegion(first));
    }

    [Fact]
    public void M15_regions_added_twice_and_removed_once_for_ever_are_forgotten()
    {
        using var server = new TestServer(new EchoDevice());
        using var machine = new Machine(server.Connect());
        for (uint i = 0; i < 3000; i++)
        {
            MemoryRegion region = new(0x1_0000_0000 + (i * 0x1_0000UL), 4096, 0x7100_0000_0000 + (i * 0x1_0000UL), 0);
            Assert.True(machine.AddRegion(region));
            Assert.True(machine.AddRegion(region));
            Assert.True(machine.RemoveRegion(region));
        }

        MemoryRegion first = new(0x1_0000_0000, 4096, 0x7100_0000_0000, 0);
        Assert.False(machine.RemoveRegion(first));                  // its debt was forgotten: the ledger is bounded
        using TestRing ring = TestRing.Of(machine).Start();
        ring.Echo();
    }

    [Fact]
    public void A2_a_region_longer_than_its_file_is_refused()
    {
        using var server = new TestServer(new EchoDevice());
        using var machine = new Machine(server.Connect());
        Assert.False(Table(machine, [new(0, Machine.SizeBytes + 1, 0, 0)]));
        Assert.False(machine.AddRegion(new(s_far.GuestAddress, 4096, s_far.UserAddress, Machine.SizeBytes - 4095)));
        Assert.True(machine.AddRegion(new(s_far.GuestAddress, 4096, s_far.UserAddress, Machine.SizeBytes - 4096)));
        using var socket = new UnixSocketPair();
        Assert.False(machine.AddRegion(new(0x2_0000_0000, 4096, 0x7200_0000_0000, 0), socket.First));
    }

    [Theory, MemberData(nameof(Formats))]
    public void A4_requests_in_flight_finish_on_the_old_table_and_the_answer_waits_for_them(ulong features)
    {
        using var device = new EchoDevice();
        using var server = new TestServer(device);
        using var machine = new Machine(server.Connect(), features);
        using TestRing ring = TestRing.Of(machine).Start();
        device.IsHolding = true;
        for (int i = 0; i < 4; i++)
        {
            ring.Offer();
        }

        Wait.Until(() => device.Taken == 4, "the requests are in flight");

        // The same memory mapped anew: every request in flight lies in a mapping that goes away.
        byte[] table = [.. Frontend.Bytes(new MemoryTableHeader(1)), .. Frontend.Bytes(Machine.Region)];
        machine.Frontend.Send(FrontendRequest.SetMemTable, table, needReply: true, machine.Ram);
        Thread.Sleep(50);
        Assert.Equal(-Errno.EAGAIN, machine.Frontend.Socket.TryReceive(new byte[1], null, out _));
        device.IsHolding = false;
        Assert.Equal(0UL, machine.Frontend.Receive()!.Word);
        for (int i = 0; i < 4; i++)
        {
            ring.Collect();
        }

        ring.Echo(10);
    }

    [Theory, MemberData(nameof(Formats))]
    public void A4_a_region_that_no_request_uses_comes_and_goes_without_waiting_for_anything(ulong features)
    {
        using var device = new EchoDevice();
        using var server = new TestServer(device);
        using var machine = new Machine(server.Connect(), features);
        using TestRing ring = TestRing.Of(machine).Start();
        device.IsHolding = true;
        ring.Offer();
        Wait.Until(() => device.Taken == 1, "the request is in flight");
        for (int i = 0; i < 20; i++)
        {
            Assert.True(machine.AddRegion(s_far));
            Assert.True(machine.RemoveRegion(s_far));
        }

        device.IsHolding = false;
        ring.Collect();
    }

    [Theory, MemberData(nameof(Formats))]
    public void A4_old_tables_are_unmapped_when_the_answer_comes(ulong features)
    {
        using var server = new TestServer(new EchoDevice());
        using var machine = new Machine(server.Connect(), features);
        using TestRing ring = TestRing.Of(machine).Start();
        int before = ProcessCounts.MappingsOf(Machine.MemoryName);
        for (int i = 0; i < 50; i++)
        {
            ring.Offer();
            Assert.True(Table(machine, [Machine.Region]));
            ring.Collect();
        }

        Assert.True(machine.AddRegion(s_far));
        Assert.Equal(before + 1, ProcessCounts.MappingsOf(Machine.MemoryName));
        Assert.True(machine.RemoveRegion(s_far));
        Assert.Equal(before, ProcessCounts.MappingsOf(Machine.MemoryName));
    }

    [Theory, MemberData(nameof(Formats))]
    public void A5_a_ring_whose_region_is_replaced_pauses_and_goes_on(ulong features)
    {
        using var server = new TestServer(new EchoDevice());
        using var machine = new Machine(server.Connect(), features);
        using TestRing ring = TestRing.Of(machine).Start();
        for (int i = 0; i < 10; i++)
        {
            ring.Echo(3);
            Assert.True(machine.RemoveRegion(Machine.Region));
            ring.Offer();
            ring.Kick.Signal();
            Assert.True(machine.AddRegion(Machine.Region));
            ring.Collect();
        }

        Assert.False(ring.Error.Drain());
    }

    [Theory, MemberData(nameof(Formats))]
    public void A4_a_buffer_whose_region_is_being_replaced_waits_for_it_and_one_that_stays_away_breaks(ulong features)
    {
        using var server = new TestServer(new EchoDevice());
        using var machine = new Machine(server.Connect(), features);
        using TestRing ring = TestRing.Of(machine).Start();
        Assert.True(machine.AddRegion(s_far));
        ring.Echo();
        Assert.True(machine.RemoveRegion(s_far));
        ring.OfferAt(new(s_far.GuestAddress), TestRing.BufferBytes);
        Thread.Sleep(10);
        Assert.True(machine.AddRegion(s_far));
        ushort slot = 0;
        Wait.Until(() => ring.TryGet(out slot, out _), "the request completes");
        ring.Echo(3);

        Assert.True(machine.RemoveRegion(s_far));
        ring.OfferAt(new(s_far.GuestAddress), TestRing.BufferBytes);
        Wait.Until(ring.Error.Drain, "the error eventfd is signalled");
    }

    [Theory]
    [InlineData(Machine.Split, 1)]
    [InlineData(Machine.Packed, 1)]
    [InlineData(Machine.Split, 2)]
    [InlineData(Machine.Packed, 2)]
    public void A4_the_time_in_which_a_front_end_waits_for_an_answer_itself_does_not_count(ulong features, int workers)
    {
        MemoryRegion other = new(0x2_0000_0000, 1 << 20, 0x7200_0000_0000, 0);
        using var device = new EchoDevice(workers: workers);
        using var server = new TestServer(device);
        using var machine = new Machine(server.Connect(), features);
        using TestRing ring = TestRing.Of(machine).Start(), busy = TestRing.Of(machine, 1).Start();
        Assert.True(machine.AddRegion(s_far));
        Assert.True(machine.AddRegion(other));
        device.IsHolding = true;
        busy.OfferAt(new(other.GuestAddress), TestRing.BufferBytes);
        Wait.Until(() => device.Taken == 1, "the request is in flight");

        // The answer about the other region waits for that request; only then can the first one be given back.
        Assert.True(machine.RemoveRegion(s_far));
        ring.OfferAt(new(s_far.GuestAddress), TestRing.BufferBytes);
        machine.Frontend.Send(FrontendRequest.RemMemReg, new SingleMemoryRegion(other), needReply: true);
        Thread.Sleep(2500);
        device.IsHolding = false;
        Assert.Equal(0UL, machine.Frontend.Receive()?.Word);
        Assert.True(machine.AddRegion(s_far));
        Wait.Until(() => ring.TryGet(out _, out _), "the request completes");
        ring.Echo(3);
        Assert.False(ring.Error.Drain());
    }

    [Theory, MemberData(nameof(Formats))]
    public void A5_a_ring_that_is_kicked_while_its_region_stays_away_breaks(ulong features)
    {
        using var server = new TestServer(new EchoDevice());
        using var machine = new Machine(server.Connect(), features);
        using TestRing ring = TestRing.Of(machine).Start();
        ring.Echo(3);
        Assert.True(machine.RemoveRegion(Machine.Region));
        Thread.Sleep(2500);
        Assert.False(ring.Error.Drain()); // not kicked: only paused
        ring.Offer(kick: false);
        ring.Kick.Signal();
        Wait.Until(ring.Error.Drain, "the error eventfd is signalled");
        Assert.Equal(64UL, machine.Frontend.Ask(FrontendRequest.GetStatus).Word);
        uint position = ring.Stop();
        Assert.Equal(0UL, machine.Frontend.Ask(FrontendRequest.GetStatus).Word);
        Assert.True(machine.AddRegion(Machine.Region));
        ring.Start(position);
        ring.Collect();
        ring.Echo();
    }

    [Fact]
    public void A8_guest_memory_is_kept_out_of_core_dumps_and_its_descriptor_is_closed()
    {
        using var server = new TestServer(new EchoDevice());
        using var machine = new Machine(server.Connect());
        Assert.True(machine.Frontend.IsServed());
        string[] maps = File.ReadAllLines("/proc/self/smaps");
        int found = 0;
        for (int i = 0; i < maps.Length; i++)
        {
            if (maps[i].Contains($"/memfd:{Machine.MemoryName}", StringComparison.Ordinal))
            {
                found++;
                Assert.Contains(" dd", maps.Skip(i).First(line => line.StartsWith("VmFlags:", StringComparison.Ordinal)), StringComparison.Ordinal);
            }
        }

        Assert.Equal(2, found); // the test's own mapping and the server's
        Assert.Equal(1, Directory.GetFileSystemEntries("/proc/self/fd").Count(link => new FileInfo(link).LinkTarget?.Contains(Machine.MemoryName, StringComparison.Ordinal) == true));
    }

    [Fact]
    public void M15_the_same_allocating_request_again_and_again_stays_flat()
    {
        using var server = new TestServer(new EchoDevice());
        using var machine = new Machine(server.Connect());
        using TestRing ring = TestRing.Of(machine).Start();
        using MemFd log = MemFd.Create("vhost-test-log", 1 << 16);
        byte[] table = [.. Frontend.Bytes(new MemoryTableHeader(1)), .. Frontend.Bytes(Machine.Region)];
        Round(20);
        int descriptors = ProcessCounts.Descriptors, mappings = File.ReadLines("/proc/self/maps").Count();
        Round(25_000); // of four requests each
        Wait.Until(() => ProcessCounts.Descriptors <= descriptors, "all descriptors are closed"); // those of the last message are closed after its answer
        Assert.InRange(File.ReadLines("/proc/self/maps").Count(), 0, mappings + 20);
        ring.Echo();

        void Round(int count)
        {
            for (int i = 0; i < count; i++)
            {
                Assert.True(machine.Frontend.Try(FrontendRequest.SetMemTable, table, machine.Ram));
                Assert.True(machine.Frontend.Try(FrontendRequest.SetVringNum, new VringState(1, 64)));
                Assert.True(machine.Frontend.Try(FrontendRequest.SetVringErr, new VringDescriptor(1, true), ring.Error));
                machine.Frontend.Send(FrontendRequest.SetLogBase, new LogArea(1 << 16, 0), false, log);
                Assert.Equal(16, machine.Frontend.Receive()!.Payload.Length);
            }
        }
    }

    private static bool Table(Machine machine, MemoryRegion[] regions, uint? count = null, int? descriptors = null)
    {
        byte[] payload = [.. Frontend.Bytes(new MemoryTableHeader(count ?? (uint)regions.Length)), .. MemoryMarshal.AsBytes<MemoryRegion>(regions)];
        return machine.Frontend.Try(FrontendRequest.SetMemTable, payload, [.. Enumerable.Repeat<FileDescriptor>(machine.Ram, descriptors ?? regions.Length)]);
    }
}
