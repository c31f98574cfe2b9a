using Paravane.Hypervisor.Acpi;

namespace Paravane.Hypervisor.Tests.Acpi;

public sealed class AmlTests
{
    [Theory]
    [InlineData(0UL, "00")]
    [InlineData(1UL, "01")]
    [InlineData(0x7FUL, "0A7F")]
    [InlineData(0x1234UL, "0B3412")]
    [InlineData(0x12345678UL, "0C78563412")]
    [InlineData(0x1_0000_0000UL, "0E0000000001000000")]
    public void Integers_take_their_shortest_form(ulong value, string hex) => Assert.Equal(hex, Convert.ToHexString(Aml.Integer(value)));

    [Fact]
    public void Names_and_ids_are_coded_as_the_specification_says()
    {
        Assert.Equal("0C41D00501", Convert.ToHexString(Aml.EisaId("PNP0501")));
        Assert.Equal([.. "\\_SB_"u8], Aml.Path("\\_SB"));
        Assert.Equal([0x5C, 0x2F, 3, .. "_SB_PCI0PSCN"u8], Aml.Path("\\_SB.PCI0.PSCN"));
        Assert.Equal([0x2E, .. "A___B___"u8], Aml.Path("A.B"));
        Assert.Equal([0x0D, (byte)'a', 0], Aml.Text("a"));
    }

    [Theory]
    [InlineData(0, 1)]
    [InlineData(0x3E - 2, 1)]
    [InlineData(0x3F - 2, 2)]
    [InlineData(0xFFD - 3, 2)]
    [InlineData(0xFFE - 3, 3)]
    [InlineData(0xFFFFC - 5, 3)]
    [InlineData(0xFFFFD - 5, 4)]
    public void A_package_length_counts_itself_in_one_to_four_bytes(int payloadBytes, int lengthBytes)
    {
        byte[] buffer = Aml.Buffer(new byte[payloadBytes]);
        int first = buffer[1], extra = first >> 6, length = extra == 0 ? first : first & 0xF;
        for (int i = 0; i < extra; i++)
        {
            length |= buffer[2 + i] << (4 + (8 * i));
        }

        Assert.Equal(lengthBytes, extra + 1);
        Assert.Equal(buffer.Length - 1, length);
    }

    [Fact]
    public void Resource_descriptors_have_their_lengths()
    {
        Assert.Equal("4701F803F8030108", Convert.ToHexString(Resource.Ports(0x3F8, 8)));
        Assert.Equal("86090001000000F000100000", Convert.ToHexString(Resource.FixedMemory(0xF000_0000, 0x1000)));
        Assert.Equal("890600030104000000", Convert.ToHexString(Resource.Interrupt(4, edge: true)));
        Assert.Equal("890600010109000000", Convert.ToHexString(Resource.Interrupt(9, edge: false)));
        Assert.Equal((16, 26, 46, 46), (Resource.Buses(0, 0).Length, Resource.Window32(0, 1).Length, Resource.Window64(0, 1).Length, Resource.Memory64().Length));
    }
}
