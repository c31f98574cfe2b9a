namespace Paravane.Backends.Net.Tests;

internal static class Frames
{
    /// <summary>A frame whose every byte depends on its place and on <paramref name="seed"/>.</summary>
    public static byte[] Pattern(int lengthBytes, byte seed = 1)
    {
        byte[] frame = new byte[lengthBytes];
        for (int i = 0; i < lengthBytes; i++)
        {
            frame[i] = (byte)((i * 31) + (i >> 8) + (seed * 7));
        }

        return frame;
    }
}
