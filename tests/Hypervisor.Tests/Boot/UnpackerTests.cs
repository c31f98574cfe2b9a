using System.Buffers.Binary;
using System.Diagnostics;
using System.Runtime.InteropServices;
using Paravane.Hypervisor.Boot;

namespace Paravane.Hypervisor.Tests.Boot;

public sealed class UnpackerTests
{
    /// <summary>What <c>xz --check=crc32 --x86 --lzma2=dict=32MiB</c>, which is how kernels are packed, makes of <see cref="Calls"/>.</summary>
    private const string PackedCalls =
        "/Td6WFoAAAFpIt42AgEEACEBGgAByYCz4AP/ASNdAHQBPBk4sl6SSp5zlYnTYC3xiVPMo+MuaydT1T3f9B2fHjQ3Hs1c0he8+heK/RNgMfC40QTj0bxEJxpET/UDSXN38xqdoePWe3zFE1Jl1QDKXkyzV2W4"
        + "VLHb3D9+MF5/OpcMpo4lP1GvwTFZcYWPnzBXDw579RID0EhXJtX2J0o+kZVO634QNgacI9yeYqmoezHFYDC4HS2nSuXrJ9oCE+q3IGuE7mRTnIZE715etftW2aiDsAno/5utP7g60a84sFwRbCYJXhI/bLhD"
        + "I3Z9pDDdxu2JC6vKp24r+8xCYKnxu2VZ2W6Abt7nbWfQTRdJCbSaHLX9Hz4wGKSXfDDsjixO9k7BvI0C26Dqqlx+LOCeZcj7d0gYeH55S5MmztK7DdhegQAAhaCb0AABuwKACAAAiIPSKj4wDYsCAAAAAAFZWg==";

    [Fact]
    public void Xz_is_unpacked_through_its_filter_for_x86_code()
    {
        SkipWithoutXz();
        byte[] expected = Calls();
        byte[] packed = Convert.FromBase64String(PackedCalls);
        using UnpackedImage image = Unpacker.Unpack("test", TestKernel.WithSize(packed, expected.Length));
        Assert.Equal(expected, image.Bytes);
    }

    [Fact]
    public void Damaged_xz_is_a_clean_error()
    {
        SkipWithoutXz();
        byte[] whole = TestKernel.WithSize(Convert.FromBase64String(PackedCalls), Calls().Length);
        int seed = Random.Shared.Next();
        var random = new Random(seed);
        for (int round = 0; round < 300; round++)
        {
            byte[] packed = [.. whole];
            packed[random.Next(6, 340)] ^= (byte)(1 << random.Next(8));
            try
            {
                Unpacker.Unpack("test", packed).Dispose();
            }
            catch (BootException failure)
            {
                Assert.Contains("xz-compressed kernel inside is damaged", failure.Message, StringComparison.Ordinal);
            }
            catch (Exception unexpected)
            {
                Assert.Fail($"seed {seed}, round {round}: {unexpected}");
            }
        }
    }

    [Fact]
    public void A_whole_kernel_survives_each_tool_that_packs_kernels()
    {
        string? tool = new[] { "/usr/bin/xz", "/usr/bin/zstd", "/usr/bin/gzip", "/usr/bin/lz4" }.FirstOrDefault(path => !File.Exists(path));
        Assert.SkipWhen(tool is not null, $"{tool} is not installed");
        byte[] kernel = new byte[3 << 20];
        new Random(5).NextBytes(kernel.AsSpan(0, 1 << 19));
        using var source = new TestFile(kernel);
        foreach ((string name, string arguments) in new[] { ("xz", "-c1 --check=crc32 --x86 --lzma2=dict=1MiB"), ("zstd", "-qc -22 --ultra"), ("gzip", "-nc9"), ("lz4", "-qlc9") })
        {
            byte[] packed = Pack($"/usr/bin/{name}", $"{arguments} {source.Path}");
            using UnpackedImage image = Unpacker.Unpack("test", name == "gzip" ? packed : TestKernel.WithSize(packed, kernel.Length));
            Assert.True(image.Bytes.SequenceEqual(kernel), name);
        }
    }

    private static void SkipWithoutXz()
    {
        bool found = NativeLibrary.TryLoad("liblzma.so.5", out _);
        Assert.SkipUnless(found, "liblzma.so.5 is not installed");
    }

    private static byte[] Pack(string program, string arguments)
    {
        using Process process = Process.Start(new ProcessStartInfo(program, arguments) { RedirectStandardOutput = true })!;
        using var packed = new MemoryStream();
        process.StandardOutput.BaseStream.CopyTo(packed);
        Assert.True(process.WaitForExit(30_000));
        Assert.Equal(0, process.ExitCode);
        return packed.ToArray();
    }

    /// <summary>Call instructions, whose targets the filter rewrites.</summary>
    private static byte[] Calls()
    {
        var bytes = new List<byte>();
        Span<byte> target = stackalloc byte[4];
        for (int i = 0; i < 64; i++)
        {
            BinaryPrimitives.WriteInt32LittleEndian(target, i * 0x1234 % 0x10000);
            bytes.AddRange([0xE8, .. target, 0x90, 0x48, 0x89, .. Enumerable.Repeat((byte)i, 8)]);
        }

        return [.. bytes];
    }
}
