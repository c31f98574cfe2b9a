using System.Diagnostics;
using Paravane.VirtioQueues.Linux;
using Paravane.VirtioQueues.Memory;

namespace Paravane.Backends.Block.Tests;

/// <summary>The io_uring binding by itself.</summary>
public sealed class IoUringTests
{
    [Fact]
    public void Wire_structs_have_the_kernels_sizes_and_offsets()
    {
        Assert.Equal(120, System.Runtime.CompilerServices.Unsafe.SizeOf<IoUringAbi.Params>());
        Assert.Equal(64, System.Runtime.CompilerServices.Unsafe.SizeOf<IoUringAbi.Sqe>());
        Assert.Equal(16, System.Runtime.CompilerServices.Unsafe.SizeOf<IoUringAbi.Cqe>());
        Assert.Equal(40, System.Runtime.InteropServices.Marshal.OffsetOf<IoUringAbi.Params>(nameof(IoUringAbi.Params.Sq)));
        Assert.Equal(80, System.Runtime.InteropServices.Marshal.OffsetOf<IoUringAbi.Params>(nameof(IoUringAbi.Params.Cq)));
        Assert.Equal(20, System.Runtime.InteropServices.Marshal.OffsetOf<IoUringAbi.Params>(nameof(IoUringAbi.Params.Features)));
        Assert.Equal(32, System.Runtime.InteropServices.Marshal.OffsetOf<IoUringAbi.Sqe>(nameof(IoUringAbi.Sqe.UserData)));
        Assert.Equal(40, System.Runtime.InteropServices.Marshal.OffsetOf<IoUringAbi.Sqe>(nameof(IoUringAbi.Sqe.BufferIndex)));
        Assert.Equal(28, System.Runtime.InteropServices.Marshal.OffsetOf<IoUringAbi.Sqe>(nameof(IoUringAbi.Sqe.OperationFlags)));
        Assert.Equal(44, System.Runtime.InteropServices.Marshal.OffsetOf<IoUringAbi.Sqe>(nameof(IoUringAbi.Sqe.FileIndex)));
    }

    [Theory]
    [InlineData(uint.MaxValue)]
    [InlineData(~IoUringAbi.NoSqArray)]
    [InlineData(~(IoUringAbi.NoSqArray | IoUringAbi.DeferTaskRun))]
    [InlineData(~(IoUringAbi.NoSqArray | IoUringAbi.DeferTaskRun | IoUringAbi.SingleIssuer))]
    [InlineData(IoUringAbi.CqSize | IoUringAbi.Clamp | IoUringAbi.SubmitAll)]
    [InlineData(IoUringAbi.CqSize | IoUringAbi.Clamp)]
    public void Every_set_of_flags_that_an_older_kernel_leaves_carries_all_operations(uint known)
    {
        using TempImage image = new(1 << 20);
        using ImageFile file = ImageFile.Open(image.Path, writable: true, direct: false);
        using IoUring? ring = IoUring.TryOpen(file, 256, known, out string obstacle);
        Assert.True(ring is not null, obstacle);
        Assert.Equal(0u, ring.SetupFlags & ~known);
        using var buffers = new BounceBuffers();
        buffers[0][0].AsSpan().Fill(0x42);

        ring.QueueWrite(buffers[0], 100, 4096, 8192, durable: true, userData: 1);
        Assert.Equal(4096, Finish(ring, 1));
        ring.QueueDataSync(2);
        Assert.Equal(0, Finish(ring, 2));
        ring.QueueRead(buffers[1], 0, 8192, 4096, 3);
        Assert.Equal(8192, Finish(ring, 3));
        Assert.All(buffers[1][0].AsSpan()[..4096].ToArray(), value => Assert.Equal(0, value));
        Assert.All(buffers[1][0].AsSpan()[4096..8192].ToArray(), value => Assert.Equal(0x42, value));
        ring.QueueAllocate(AllocateMode.PunchHole, 8192, 4096, 4);
        Assert.Equal(0, Finish(ring, 4));
        ring.QueueRead(buffers[1], 0, 4096, 8192, 5);
        Assert.Equal(4096, Finish(ring, 5));
        Assert.All(buffers[1][0].AsSpan()[..4096].ToArray(), value => Assert.Equal(0, value));
        ring.QueueRead(buffers[1], 0, 4096, 1 << 20, 6);
        Assert.Equal(0, Finish(ring, 6)); // behind the end
        Assert.Equal(0, ring.InFlight);
        Assert.False(ring.HasWork);
    }

    [Fact]
    public void More_operations_than_the_submission_ring_holds_are_all_carried_out()
    {
        using TempImage image = new(1 << 20);
        using ImageFile file = ImageFile.Open(image.Path, writable: true, direct: false);
        using IoUring? ring = IoUring.TryOpen(file, 1024, out string obstacle);
        Assert.True(ring is not null, obstacle);
        using var buffers = new BounceBuffers();
        for (int i = 0; i < 1000; i++)
        {
            ring.QueueRead(buffers[i % BounceBuffers.Count], 0, 512, 0, (ulong)i);
        }

        var seen = new bool[1000];
        while (ring.InFlight > 0)
        {
            ring.Submit();
            while (ring.TryReap(out ulong id, out int result))
            {
                Assert.Equal(512, result);
                Assert.False(seen[id]);
                seen[id] = true;
            }
        }

        Assert.All(seen, Assert.True);
    }

    [Fact]
    public unsafe void Lists_of_pieces_stay_apart_wherever_the_submission_ring_gets_full()
    {
        const int PieceBytes = 512, PlaceBytes = 8192;
        using TempImage image = new(1 << 20);
        using ImageFile file = ImageFile.Open(image.Path, writable: true, direct: false);
        using IoUring? ring = IoUring.TryOpen(file, 1024, out string obstacle);
        Assert.True(ring is not null, obstacle);
        using var buffers = new BounceBuffers();
        GuestBuffer* pieces = stackalloc GuestBuffer[16];

        // The first list takes room, other operations fill the ring, so that there is none for the second; the third is longer than what it may not touch.
        int[] counts = [5, 3, 16];
        for (int list = 0; list < counts.Length; list++)
        {
            buffers[list][0].AsSpan().Fill((byte)(list + 1));
            for (int i = 0; i < counts[list]; i++)
            {
                pieces[i] = new GuestBuffer { Host = buffers[list].Buffers[0].Host + (i * 2 * PieceBytes), LengthBytes = PieceBytes };
            }

            uint lengthBytes = (uint)counts[list] * PieceBytes;
            ring.QueueWrite(new BufferList(pieces, counts[list], lengthBytes), 0, lengthBytes, (ulong)list * PlaceBytes, durable: false, lengthBytes);
            for (uint i = 1; list == 0 && i < IoUring.SubmissionEntries; i++)
            {
                ring.QueueRead(buffers[BounceBuffers.Count - 1], 0, PieceBytes, 512 << 10, PieceBytes);
            }
        }

        while (ring.InFlight > 0)
        {
            ring.Submit();
            while (ring.TryReap(out ulong lengthBytes, out int result))
            {
                Assert.Equal((int)lengthBytes, result);
            }
        }

        byte[] bytes = image.Bytes();
        for (int list = 0; list < counts.Length; list++)
        {
            Assert.All(bytes.AsSpan(list * PlaceBytes, counts[list] * PieceBytes).ToArray(), value => Assert.Equal(list + 1, value));
        }
    }

    [Fact]
    public void The_descriptor_becomes_readable_when_an_operation_finishes_while_nobody_looks()
    {
        using TempImage image = new(1 << 20);
        using ImageFile file = ImageFile.Open(image.Path, writable: true, direct: true);
        using IoUring? ring = IoUring.TryOpen(file, 256, out string obstacle);
        Assert.True(ring is not null, obstacle);
        using var buffers = new BounceBuffers();
        using var epoll = new Epoll();
        epoll.Add(ring.WakeDescriptor, 77);
        Span<ulong> tags = stackalloc ulong[1];
        for (ulong i = 0; i < 200; i++)
        {
            ring.QueueWrite(buffers[0], 0, 65536, 0, durable: true, userData: i);
            ring.Submit();
            if (ring.TryArm())
            {
                long deadline = Environment.TickCount64 + 10_000;
                while (epoll.Wait(tags, 10_000) == 0 && Environment.TickCount64 < deadline)
                {
                    // A signal of the runtime ended the wait.
                }

                Assert.Equal(77u, tags[0]);
                Assert.True(ring.HasWork);
                tags.Clear();
            }

            ring.Disarm();
            Assert.Equal(65536, Finish(ring, i));
        }

        Assert.Equal(0, epoll.Wait(tags, 0));
    }

    [Fact]
    public void Guest_memory_is_registered_region_by_region_and_let_go_again()
    {
        using TempImage image = new(1 << 20);
        using ImageFile file = ImageFile.Open(image.Path, writable: true, direct: true);
        using IoUring? ring = IoUring.TryOpen(file, 256, out string obstacle);
        Assert.True(ring is not null, obstacle);
        using var ram = new GuestRam(8 << 20);
        ring.RegisterMemory(ram.Table);
        Assert.Equal(2, ring.RegisteredRegions);

        GuestMemory half = GuestMemory.Of([ram.Table.Regions[1]]);
        ring.RegisterMemory(half);
        Assert.Equal(1, ring.RegisteredRegions);
        ring.RegisterMemory(ram.Table);
        Assert.Equal(2, ring.RegisteredRegions);

        // A file of a disk file system cannot be pinned: no harm, just not registered.
        using ImageFile other = ImageFile.Open(image.Path, writable: true, direct: false);
        GuestMemory foreign = GuestMemory.Of([GuestRegion.Map(new GuestAddress(0), new UserAddress(0), 1 << 20, other, 0)]);
        ring.RegisterMemory(foreign);
        Assert.Equal(0, ring.RegisteredRegions);
        foreign.Release();
        half.Release();
    }

    [Fact]
    public void A_ring_waits_for_its_operations_before_it_goes()
    {
        using TempImage image = new(1 << 20);
        using ImageFile file = ImageFile.Open(image.Path, writable: true, direct: true);
        using var buffers = new BounceBuffers();
        buffers[0][0].AsSpan().Fill(9);
        using (IoUring? ring = IoUring.TryOpen(file, 256, out string obstacle))
        {
            Assert.True(ring is not null, obstacle);
            for (uint i = 0; i < 16; i++)
            {
                ring.QueueWrite(buffers[0], 0, 65536, i * 65536, durable: false, userData: i);
            }
        }

        Assert.All(image.Bytes(), value => Assert.Equal(9, value));
    }

    [Fact]
    public void A_refusal_names_the_call_and_the_error()
    {
        using TempImage image = new(4096);
        using ImageFile file = ImageFile.Open(image.Path, writable: false, direct: false);
        Assert.Null(IoUring.TryOpen(file, 1, known: 0, out string obstacle)); // a kernel that knows none of the flags
        Assert.StartsWith("io_uring_setup: EINVAL", obstacle, StringComparison.Ordinal);
        Assert.Null(IoUring.FindObstacle(file));
    }

    private static int Finish(IoUring ring, ulong userData)
    {
        long start = Stopwatch.GetTimestamp();
        while (true)
        {
            ring.Submit();
            if (ring.TryReap(out ulong id, out int result))
            {
                Assert.Equal(userData, id);
                Assert.False(ring.TryReap(out _, out _));
                return result;
            }

            Assert.True(Stopwatch.GetElapsedTime(start) < TimeSpan.FromSeconds(20), "no completion");
        }
    }
}
