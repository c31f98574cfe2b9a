using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Paravane.VirtioQueues.Chains;
using Paravane.VirtioQueues.Driver;
using Paravane.VirtioQueues.Memory;
using Paravane.VirtioQueues.Spec;

namespace Paravane.VirtioQueues.Tests;

public sealed class WireStructTests
{
    [Fact]
    public void A_split_descriptor_is_laid_out_as_virtq_desc()
    {
        Assert.Equal(16, Unsafe.SizeOf<VirtqDesc>());
        Assert.Equal((0, 8, 12, 14), (Offset<VirtqDesc>("Addr"), Offset<VirtqDesc>("Len"), Offset<VirtqDesc>("Flags"), Offset<VirtqDesc>("Next")));
        Assert.Equal("8877665544332211" + "CDAB3412" + "0700" + "3412", Bytes(new VirtqDesc(0x1122334455667788, 0x1234abcd, (VirtqDescFlags)7, 0x1234)));
    }

    [Fact]
    public void A_packed_descriptor_is_laid_out_as_pvirtq_desc()
    {
        Assert.Equal(16, Unsafe.SizeOf<PackedDesc>());
        Assert.Equal((0, 8, 12, 14), (Offset<PackedDesc>("Addr"), Offset<PackedDesc>("Len"), Offset<PackedDesc>("Id"), Offset<PackedDesc>("Flags")));
        Assert.Equal("8877665544332211" + "CDAB3412" + "3412" + "8280", Bytes(new PackedDesc(0x1122334455667788, 0x1234abcd, 0x1234, (VirtqDescFlags)0x8082)));
    }

    [Fact]
    public void A_used_element_is_laid_out_as_virtq_used_elem()
    {
        Assert.Equal(8, Unsafe.SizeOf<VirtqUsedElem>());
        Assert.Equal((0, 4), (Offset<VirtqUsedElem>("Id"), Offset<VirtqUsedElem>("Len")));
        Assert.Equal("0D0C0B0A" + "04030201", Bytes(new VirtqUsedElem(0x0a0b0c0d, 0x01020304)));
    }

    [Fact]
    public void Flags_have_the_numbers_of_the_specification()
    {
        Assert.Equal((1, 2, 4, 0x80, 0x8000), ((int)VirtqDescFlags.Next, (int)VirtqDescFlags.Write, (int)VirtqDescFlags.Indirect, (int)VirtqDescFlags.Avail, (int)VirtqDescFlags.Used));
        Assert.Equal((0, 1, 2), ((int)EventSuppression.Enable, (int)EventSuppression.Disable, (int)EventSuppression.Descriptor));
        ulong[] bits =
        [
            VirtioFeatures.NotifyOnEmpty, VirtioFeatures.LogAll, VirtioFeatures.AnyLayout, VirtioFeatures.IndirectDesc, VirtioFeatures.EventIdx, VirtioFeatures.ProtocolFeatures,
            VirtioFeatures.Version1, VirtioFeatures.AccessPlatform, VirtioFeatures.RingPacked, VirtioFeatures.InOrder, VirtioFeatures.OrderPlatform, VirtioFeatures.NotificationData,
            VirtioFeatures.RingReset,
        ];
        Assert.Equal([24, 26, 27, 28, 29, 30, 32, 33, 34, 35, 36, 38, 40], bits.Select(System.Numerics.BitOperations.TrailingZeroCount));
        Assert.All(bits, bit => Assert.Equal(1, System.Numerics.BitOperations.PopCount(bit)));
    }

    [Fact]
    public void A_lock_is_laid_out_as_flock()
    {
        Assert.Equal(32, Unsafe.SizeOf<VirtioQueues.Linux.FileLock>());
        Assert.Equal((0, 8, 16), (Offset<VirtioQueues.Linux.FileLock>("Type"), Offset<VirtioQueues.Linux.FileLock>("Start"), Offset<VirtioQueues.Linux.FileLock>("LengthBytes")));
    }

    [Fact]
    public void Scratch_structs_keep_their_cache_line_sizes()
    {
        Assert.Equal(16, Unsafe.SizeOf<GuestBuffer>()); // struct iovec
        Assert.Equal(128, Unsafe.SizeOf<ChainSlot>());
        Assert.Equal(8, Unsafe.SizeOf<UsedChain>());
        Assert.Equal(16, Unsafe.SizeOf<DriverChain>());
    }

    private static int Offset<T>(string field)
        where T : struct => (int)Marshal.OffsetOf<T>(field);

    private static string Bytes<T>(T value)
        where T : unmanaged => Convert.ToHexString(MemoryMarshal.AsBytes(new ReadOnlySpan<T>(in value)));
}
