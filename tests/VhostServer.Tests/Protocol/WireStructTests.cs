using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Paravane.VhostServer.Protocol;

namespace Paravane.VhostServer.Tests.Protocol;

public sealed class WireStructTests
{
    [Fact]
    public void Every_struct_has_the_size_and_offsets_of_the_wire()
    {
        Check<MessageHeader>(12, (nameof(MessageHeader.Request), 0), (nameof(MessageHeader.Flags), 4), (nameof(MessageHeader.PayloadBytes), 8));
        Check<VringState>(8, (nameof(VringState.Index), 0), (nameof(VringState.Num), 4));
        Check<VringAddress>(40, (nameof(VringAddress.Index), 0), (nameof(VringAddress.Flags), 4), (nameof(VringAddress.Descriptor), 8),
            (nameof(VringAddress.Used), 16), (nameof(VringAddress.Available), 24), (nameof(VringAddress.Log), 32));
        Check<VringDescriptor>(8, (nameof(VringDescriptor.Raw), 0));
        Check<MemoryRegion>(32, (nameof(MemoryRegion.GuestAddress), 0), (nameof(MemoryRegion.SizeBytes), 8), (nameof(MemoryRegion.UserAddress), 16),
            (nameof(MemoryRegion.MmapOffset), 24));
        Check<MemoryTableHeader>(8, (nameof(MemoryTableHeader.Count), 0), (nameof(MemoryTableHeader.Padding), 4));
        Check<SingleMemoryRegion>(40, (nameof(SingleMemoryRegion.Padding), 0), (nameof(SingleMemoryRegion.Region), 8));
        Check<LogArea>(16, (nameof(LogArea.SizeBytes), 0), (nameof(LogArea.OffsetBytes), 8));
        Check<ConfigHeader>(12, (nameof(ConfigHeader.OffsetBytes), 0), (nameof(ConfigHeader.SizeBytes), 4), (nameof(ConfigHeader.Flags), 8));
        Check<InflightArea>(24, (nameof(InflightArea.SizeBytes), 0), (nameof(InflightArea.OffsetBytes), 8), (nameof(InflightArea.QueueCount), 16),
            (nameof(InflightArea.QueueSize), 18), (nameof(InflightArea.Padding), 20));
    }

    [Fact]
    public void A_vring_descriptor_word_keeps_its_reserved_bits_in_the_index()
    {
        Assert.Equal(5UL, new VringDescriptor(0x105).Index);
        Assert.False(new VringDescriptor(0x105).HasDescriptor);
        Assert.Equal(0x1_0000_0005UL, new VringDescriptor(0x1_0000_0005).Index);
        Assert.Equal(7UL, new VringDescriptor(7, hasDescriptor: true).Raw);
        Assert.Equal(0x107UL, new VringDescriptor(7, hasDescriptor: false).Raw);
    }

    private static void Check<T>(int size, params (string Field, int Offset)[] fields)
        where T : unmanaged
    {
        Assert.Equal(size, Unsafe.SizeOf<T>());
        foreach ((string field, int offset) in fields)
        {
            Assert.Equal(offset, (int)Marshal.OffsetOf<T>(field));
        }
    }
}
